"""PSPNet R18-d8, narrow, on small crops and sliding windows, for laptops and tests.

Command: tools/dist_train.sh configs/segmentation/toy/pspnet_r18_toy-cityscapes.py 2
Hardware: 2 processes, 2 images each, on 2 CPU cores or on GPUs
Data: python tools/make_toy_data.py cityscapes data/toy_cityscapes
Weights: none, trained from scratch
"""

_base_ = [
    "../../_base_/models/pspnet_r50-d8.py",
    "../../_base_/datasets/cityscapes_713x713.py",
    "../../_base_/schedules/segmentation_toy.py",
    "../../_base_/segmentation_runtime.py",
]

norm_cfg = dict(_delete_=True, type="SN")
cityscapes_data = dict(root="data/toy_cityscapes")

crop_size = (96, 96)
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(depth=18, stem_channels=32, base_channels=32, init_cfg=None),
    decode_head=dict(in_channels=256, channels=64, align_corners=True),
    auxiliary_head=dict(in_channels=128, channels=64, align_corners=True),
    test_cfg=dict(mode="slide", crop_size=crop_size, stride=(64, 64)),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(256, 128), ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type="RandomGaussianBlur", prob=0.5),
    dict(type="RandomFlip", prob=0.5),
    dict(type="RandomCrop", crop_size=crop_size),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(256, 128), keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline)
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=60, max_keep_ckpts=1))
log_processor = dict(window_size=10)
