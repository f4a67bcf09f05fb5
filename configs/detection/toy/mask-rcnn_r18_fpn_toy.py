"""Mask R-CNN R18-FPN, narrow, on small images, for laptops, tests and the demo.

Command: tools/dist_train.sh configs/detection/toy/mask-rcnn_r18_fpn_toy.py 2
Hardware: 2 processes, 2 images each, on 2 CPU cores or on GPUs
Data: python tools/make_toy_data.py coco data/toy_coco
Weights: none, trained from scratch
"""

_base_ = "./faster-rcnn_r18_fpn_toy.py"

model = dict(
    type="MaskRCNN",
    roi_head=dict(
        mask_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=2),
            out_channels=64,
            featmap_strides=[4, 8, 16, 32],
            finest_scale=14,
        ),
        mask_head=dict(
            type="FCNMaskHead",
            num_convs=4,
            in_channels=64,
            conv_out_channels=64,
            num_classes=80,
            loss_mask=dict(type="CrossEntropyLoss", use_mask=True, loss_weight=1.0),
        ),
    ),
    train_cfg=dict(rcnn=dict(mask_size=28)),
    test_cfg=dict(rcnn=dict(mask_thr_binary=0.5)),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="Resize", scale={{_base_.image_scale}}, keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = val_evaluator
