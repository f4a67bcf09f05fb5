"""IR-ResNet-50 with ArcFace on MS1MV2, the recipe of insightface; `norm_cfg.type` chooses.

Command: tools/dist_train.sh configs/face/modern/arcface_ir50_8xb128-20e_ms1mv2.py 8 --amp
Hardware: 8 GPUs, 128 images each
Published: IJB-C TAR@FAR 1e-4 95.97, IJB-C TAR@FAR 1e-5 94.07
    (insightface, arcface_torch, ms1mv2_r50)
Measured: not measured
Weights: none, trained from scratch
Options: norm_cfg.type=BN, SyncBN, SN, SyncSN, GN; model.head.sample_rate=0.1
"""

_base_ = [
    "../../_base_/models/arcface_ir50.py",
    "../../_base_/datasets/ms1mv2.py",
    "../../_base_/schedules/face_poly_20e.py",
    "../../_base_/face_runtime.py",
]

norm_cfg = dict(type="BN")
model = dict(
    backbone=dict(style="arcface", init_cfg=dict(type="Normal", layer="Conv2d", mean=0.0, std=0.1)),
    neck=dict(dropout=0.0),
    head=dict(clip_grad=False),
)
train_dataloader = dict(batch_size=128)
