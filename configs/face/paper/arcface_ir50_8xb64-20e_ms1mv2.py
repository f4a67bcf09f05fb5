"""IR-ResNet-50 with ArcFace on MS1MV2, the recipe of the SN authors; `norm_cfg.type` chooses.

Command: tools/dist_train.sh configs/face/paper/arcface_ir50_8xb64-20e_ms1mv2.py 8
Hardware: 8 GPUs, 64 images each; SyncSN in its published setting 16 GPUs and batch_setting=16x32
Published: MegaFace (Table IX) 95.6, MegaFace (README) 97.84
    (paper, Table IX, 'ResNet50' with SN; README of the released code, 'ResNet50+SN (8,64)'; f1)
Measured: not measured
Weights: none, trained from scratch
Options: norm_cfg.type=BN, SyncBN, SN, SyncSN, GN; batch_setting=16x32
"""

_base_ = [
    "../../_base_/models/arcface_ir50.py",
    "../../_base_/datasets/ms1mv2.py",
    "../../_base_/schedules/face_20e.py",
    "../../_base_/face_runtime.py",
]

norm_cfg = dict(type="SN", eps=2e-5)
model = dict(neck=dict(embedding_norm_cfg=dict(type="BN1d")))
