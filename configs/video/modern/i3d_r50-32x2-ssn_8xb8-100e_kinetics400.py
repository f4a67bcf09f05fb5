"""I3D ResNet-50 with sparse SN on clips of 32 frames, the recipe of mmaction2.

Command: tools/dist_train.sh configs/video/modern/i3d_r50-32x2-ssn_8xb8-100e_kinetics400.py 8
Hardware: 8 GPUs, 8 clips each
Published: none published
Measured: not measured
Weights: those of SN, see tasks/video/README.md
Options: norm_cfg.type=SSN, SyncSSN; batch_setting=8x4; model.backbone.with_cp=True
"""

_base_ = "./i3d_r50-32x2_8xb8-100e_kinetics400.py"

norm_cfg = dict(type="SSN")
optim_wrapper = dict(
    paramwise_cfg=dict(
        _delete_=True, control_lr_mult=0.1, control_decay_mult=0.0, control_clip_grad=1.0
    )
)
custom_hooks = [dict(type="SparseScheduleHook")]
