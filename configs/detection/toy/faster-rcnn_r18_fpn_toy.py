"""Faster R-CNN R18-FPN, narrow, on small images, for laptops, tests and the demo.

Command: tools/dist_train.sh configs/detection/toy/faster-rcnn_r18_fpn_toy.py 2
Hardware: 2 processes, 2 images each, on 2 CPU cores or on GPUs
Data: python tools/make_toy_data.py coco data/toy_coco
Weights: none, trained from scratch
"""

_base_ = [
    "../../_base_/models/faster-rcnn_r50_fpn.py",
    "../../_base_/datasets/coco_detection.py",
    "../../_base_/schedules/toy.py",
    "../../_base_/detection_runtime.py",
]

norm_cfg = dict(type="SN")
coco_data = dict(root="data/toy_coco")

# Four levels with anchors of 16 to 128 pixels; RoIs go to levels by size as at 800 pixels.
model = dict(
    backbone=dict(depth=18, base_channels=32, frozen_stages=-1, init_cfg=None),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64, num_outs=4),
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(scales=[4], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, finest_scale=14),
        bbox_head=dict(in_channels=64, conv_out_channels=64, fc_out_channels=128),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=256, max_per_img=128),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=256, max_per_img=128)),
)

image_scale = (224, 128)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Resize", scale=image_scale, keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=image_scale, keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(
    sampler=dict(type="InfiniteSampler"),
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(interval=40, by_epoch=False, max_keep_ckpts=1)
)
log_processor = dict(window_size=10, by_epoch=False)
