"""I3D ResNet-50 on clips of 8 frames, the recipe of SlowFast; `norm_cfg.type` chooses.

Command: tools/dist_train.sh configs/video/modern/i3d_r50-8x8_8xb8-118e_kinetics400.py 8
Hardware: 8 GPUs, 8 clips each
Published: none published
Measured: not measured
Weights: those of the norm, see tasks/video/README.md
Options: norm_cfg.type=BN, SyncBN, SN, SyncSN, GN; batch_setting=8x4; model.backbone.with_cp=True
"""

_base_ = [
    "../../_base_/models/i3d_r50.py",
    "../../_base_/datasets/kinetics400_32x2.py",
    "../../_base_/schedules/kinetics_118e.py",
    "../../_base_/video_runtime.py",
]

norm_cfg = dict(type="BN")
train_pipeline = [
    dict(type="OpenVideo"),
    dict(type="SampleFrames", clip_len=8, frame_interval=8, target_fps=30),
    dict(type="DecodeFrames"),
    dict(type="ClipRandomShortSide", low=256, high=320),
    dict(type="ClipRandomCrop", size=224),
    dict(type="ClipFlip", prob=0.5),
    dict(type="PackClips"),
]
val_pipeline = [
    dict(type="OpenVideo"),
    dict(type="SampleFrames", clip_len=8, frame_interval=8, target_fps=30, test_mode=True),
    dict(type="DecodeFrames"),
    dict(type="ClipResize", short_side=256),
    dict(type="ClipCenterCrop", size=224),
    dict(type="PackClips"),
]
test_pipeline = [
    dict(type="OpenVideo"),
    dict(
        type="SampleFrames",
        clip_len=8,
        frame_interval=8,
        num_clips=10,
        target_fps=30,
        test_mode=True,
    ),
    dict(type="DecodeFrames"),
    dict(type="ClipResize", short_side=256),
    dict(type="ClipThreeCrop", size=256),
    dict(type="PackClips"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
custom_hooks = [dict(type="BatchAverageHook", num_batches=200, required=False)]
