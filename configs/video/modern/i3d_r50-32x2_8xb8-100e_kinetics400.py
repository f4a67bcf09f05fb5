"""I3D ResNet-50 on clips of 32 frames, the recipe of mmaction2; `norm_cfg.type` chooses.

Command: tools/dist_train.sh configs/video/modern/i3d_r50-32x2_8xb8-100e_kinetics400.py 8
Hardware: 8 GPUs, 8 clips each
Published: top-1 73.47, top-5 91.27 (mmaction2, i3d_imagenet-pretrained-r50 32x2x1)
Measured: not measured
Weights: those of the norm, see tasks/video/README.md
Options: norm_cfg.type=BN, SyncBN, SN, SyncSN, GN; batch_setting=8x4; model.backbone.with_cp=True
"""

_base_ = [
    "../../_base_/models/i3d_r50.py",
    "../../_base_/datasets/kinetics400_32x2.py",
    "../../_base_/schedules/kinetics_100e.py",
    "../../_base_/video_runtime.py",
]

norm_cfg = dict(type="BN")
model = dict(backbone=dict(conv1_stride_t=2, pool1_stride_t=2))
train_pipeline = [
    dict(type="OpenVideo"),
    dict(type="SampleFrames", clip_len=32, frame_interval=2),
    dict(type="DecodeFrames"),
    dict(type="ClipResize", short_side=256),
    dict(type="ClipMultiScaleCrop", size=224, scales=(1, 0.8)),
    dict(type="ClipFlip", prob=0.5),
    dict(type="PackClips"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
