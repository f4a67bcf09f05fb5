"""IR-ResNet-100 with ArcFace on MS1MV2, the recipe of the SN authors; `norm_cfg.type` chooses.

Command: tools/dist_train.sh configs/face/paper/arcface_ir100_8xb64-20e_ms1mv2.py 8
Hardware: 8 GPUs, 64 images each; published settings with SN 10 GPUs and
    train_dataloader.batch_size=52, with SyncSN 16 GPUs and batch_setting=16x32
Published: MegaFace (Table IX) 95.9, MegaFace (README) 98.1
    (paper, Table IX, 'ResNet101' with SN; README of the released code, 'ResNet100+SN (10,52)'; f1;
    f2; f3)
Measured: not measured
Weights: none, trained from scratch
Options: norm_cfg.type=BN, SyncBN, SN, SyncSN, GN; batch_setting=16x32
"""

_base_ = "./arcface_ir50_8xb64-20e_ms1mv2.py"

model = dict(backbone=dict(depth=100))
