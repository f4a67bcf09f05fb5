"""DeepLab R18-d8, narrow, on small images, for laptops, tests and the demo.

Command: tools/dist_train.sh configs/segmentation/toy/deeplab_r18_toy-ade20k.py 2
Hardware: 2 processes, 2 images each, on 2 CPU cores or on GPUs
Data: python tools/make_toy_data.py ade20k data/toy_ade20k
Weights: none, trained from scratch
"""

_base_ = [
    "../../_base_/models/deeplab_r50-d8.py",
    "../../_base_/datasets/ade20k_short-side.py",
    "../../_base_/schedules/segmentation_toy.py",
    "../../_base_/segmentation_runtime.py",
]

norm_cfg = dict(_delete_=True, type="SN")
ade20k_data = dict(root="data/toy_ade20k")

model = dict(
    data_preprocessor=dict(size_divisor=8, test_cfg=dict(size_divisor=8)),
    backbone=dict(depth=18, stem_channels=32, base_channels=32, init_cfg=None),
    decode_head=dict(in_channels=256, channels=64, num_classes=150),
    auxiliary_head=dict(in_channels=128, channels=64, num_classes=150),
)

short_sides = (72, 96, 120)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="ResizeShortSide", max_size=192),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(192, 96), keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="Resize", scale=(192, side), keep_ratio=True) for side in (72, 96, 120)],
            [dict(type="LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(short_sides=short_sides, dataset=dict(pipeline=train_pipeline)),
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=60, max_keep_ckpts=1))
log_processor = dict(window_size=10)
