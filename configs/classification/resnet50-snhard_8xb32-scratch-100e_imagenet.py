"""ResNet-50 with SN on ImageNet, from scratch with the hard ratios of another training.

The ratios are those of epoch 30 of the soft training, made hard; all else is initialised anew. For
the other rows of Table III name another checkpoint by custom_hooks.0.ratios_from.

Command: tools/dist_train.sh configs/classification/resnet50-snhard_8xb32-scratch-100e_imagenet.py 8
Hardware: 8 GPUs, 32 images each
Published: top-1 76.5, top-5 93.0 (paper, Table III, row '30th', from scratch)
Measured: not measured
Weights: ratios of the run of resnet50-sn_8xb32-100e_imagenet.py
"""

_base_ = "./resnet50-sn_8xb32-100e_imagenet.py"

custom_hooks = [
    dict(
        type="HardenHook",
        ratios_from="work_dirs/resnet50-sn_8xb32-100e_imagenet/epoch_30.pth",
    )
]
