"""IR-ResNet-100 with ArcFace on MS1MV2, the recipe of insightface; `norm_cfg.type` chooses.

Command: tools/dist_train.sh configs/face/modern/arcface_ir100_8xb128-20e_ms1mv2.py 8 --amp
Hardware: 8 GPUs, 128 images each
Published: IJB-C TAR@FAR 1e-4 96.37, IJB-C TAR@FAR 1e-5 94.27
    (insightface, arcface_torch, ms1mv2_r100)
Measured: not measured
Weights: none, trained from scratch
Options: norm_cfg.type=BN, SyncBN, SN, SyncSN, GN; model.head.sample_rate=0.1
"""

_base_ = "./arcface_ir50_8xb128-20e_ms1mv2.py"

model = dict(backbone=dict(depth=100))
