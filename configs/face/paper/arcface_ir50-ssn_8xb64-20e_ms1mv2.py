"""IR-ResNet-50 with sparse SN and ArcFace on MS1MV2, the recipe of the SN authors.

Command: tools/dist_train.sh configs/face/paper/arcface_ir50-ssn_8xb64-20e_ms1mv2.py 8
Hardware: 8 GPUs, 64 images each
Published: none published
Measured: not measured
Weights: none, trained from scratch
Options: norm_cfg.type=SSN, SyncSSN; batch_setting=16x32
"""

_base_ = "./arcface_ir50_8xb64-20e_ms1mv2.py"

norm_cfg = dict(type="SSN")
optim_wrapper = dict(
    paramwise_cfg=dict(control_lr_mult=0.1, control_decay_mult=0.0, control_clip_grad=1.0)
)
custom_hooks = [dict(type="SparseScheduleHook")]
