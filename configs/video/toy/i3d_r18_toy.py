"""I3D ResNet-18, narrow, on clips of 8 frames of 64 pixels, for laptops, tests and the demo.

Its backbone is that of configs/classification/toy, inflated: the weights drop in.

Command: tools/dist_train.sh configs/video/toy/i3d_r18_toy.py 2
Hardware: 2 processes, 8 clips each, on 2 CPU cores or on GPUs
Data: python tools/make_toy_data.py kinetics data/toy_kinetics
Weights: none, trained from scratch
Options: norm_cfg.type=BN, SyncBN, SN, SyncSN, GN, SSN, SyncSSN; model.backbone.with_cp=True
"""

_base_ = [
    "../../_base_/models/i3d_r50.py",
    "../../_base_/datasets/kinetics400_32x2.py",
    "../../_base_/schedules/kinetics_109e.py",
    "../../_base_/video_runtime.py",
]

norm_cfg = dict(type="SN")
backbone_weights = None
kinetics_data = dict(root="data/toy_kinetics")
model = dict(
    backbone=dict(depth=18, base_channels=32, conv1_stride_t=2),
    head=dict(in_channels=256, dropout=0.0),
)

# No flips: they turn a motion into another.
train_pipeline = [
    dict(type="OpenVideo"),
    dict(type="SampleFrames", clip_len=8, frame_interval=2),
    dict(type="DecodeFrames"),
    dict(type="ClipRandomCrop", size=64),
    dict(type="PackClips"),
]
val_pipeline = [
    dict(type="OpenVideo"),
    dict(type="SampleFrames", clip_len=8, frame_interval=2, test_mode=True),
    dict(type="DecodeFrames"),
    dict(type="ClipCenterCrop", size=64),
    dict(type="PackClips"),
]
test_pipeline = [
    dict(type="OpenVideo"),
    dict(type="SampleFrames", clip_len=8, frame_interval=2, num_clips=4, test_mode=True),
    dict(type="DecodeFrames"),
    dict(type="ClipThreeCrop", size=64),
    dict(type="PackClips"),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=0, persistent_workers=False, pin_memory=False, dataset=dict(pipeline=val_pipeline)
)
test_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline)
)

train_cfg = dict(max_epochs=14, val_interval=14)
# A constant rate after warm-up: any train_cfg.max_epochs goes with it.
param_scheduler = [dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20)]
optim_wrapper = dict(optimizer=dict(lr=0.05))
auto_scale_lr = dict(base_batch_size=16)

default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(interval=14, max_keep_ckpts=1, save_best=None)
)
log_processor = dict(window_size=10)
