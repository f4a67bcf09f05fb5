"""IR-ResNet-50 with sparse SN and ArcFace on MS1MV2, the recipe of insightface.

Command: tools/dist_train.sh configs/face/modern/arcface_ir50-ssn_8xb128-20e_ms1mv2.py 8 --amp
Hardware: 8 GPUs, 128 images each
Published: none published
Measured: not measured
Weights: none, trained from scratch
Options: norm_cfg.type=SSN, SyncSSN
"""

_base_ = "./arcface_ir50_8xb128-20e_ms1mv2.py"

norm_cfg = dict(type="SSN")
optim_wrapper = dict(
    paramwise_cfg=dict(control_lr_mult=0.1, control_decay_mult=0.0, control_clip_grad=1.0)
)
custom_hooks = [dict(type="SparseScheduleHook")]
