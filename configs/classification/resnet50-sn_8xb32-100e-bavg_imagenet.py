"""ResNet-50 with SN on ImageNet, evaluated with batch statistics averaged over 51,200 images.

The images are resized and cropped as in the evaluation, without augmentation, 200 batches a GPU.

Command: tools/dist_train.sh configs/classification/resnet50-sn_8xb32-100e-bavg_imagenet.py 8
Hardware: 8 GPUs, 32 images each
Published: top-1 76.9 (paper, section 3.2: 50k images; all images 76.92, running averages 76.89)
Measured: not measured
"""

_base_ = "./resnet50-sn_8xb32-100e_imagenet.py"

custom_hooks = [
    dict(
        type="BatchAverageHook",
        num_batches=200,
        dataloader=dict(
            batch_size=32,
            num_workers=8,
            sampler=dict(type="DefaultSampler", shuffle=True),
            collate_fn=dict(type="default_collate"),
            dataset=dict(type="ImageClassDataset", pipeline={{_base_.test_pipeline}}),
        ),
    )
]
