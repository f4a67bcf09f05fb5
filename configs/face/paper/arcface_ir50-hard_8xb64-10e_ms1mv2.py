"""IR-ResNet-50 with SyncSN and ArcFace on MS1MV2, its ratios made hard and finetuned.

Command: tools/dist_train.sh configs/face/paper/arcface_ir50-hard_8xb64-10e_ms1mv2.py 8
Hardware: 8 GPUs, 64 images each
Published: MegaFace (README) 98.26
    (README of the released code, 'ResNet50+SYNCSN+ARGMAX (8,64)'; f1)
Measured: not measured
Weights: the run of arcface_ir50_8xb64-20e_ms1mv2.py with norm_cfg.type=SyncSN, by load_from
Options: norm_cfg.type=SN, SyncSN, with load_from of the same norm
"""

_base_ = "./arcface_ir50_8xb64-20e_ms1mv2.py"

norm_cfg = dict(type="SyncSN")
load_from = "work_dirs/arcface_ir50_8xb64-20e_ms1mv2_syncsn/epoch_20.pth"
custom_hooks = [dict(type="HardenHook", begin=0)]

train_cfg = dict(max_epochs=10)
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[5], gamma=0.1)]
optim_wrapper = dict(optimizer=dict(lr=0.001))
