"""I3D ResNet-50 with sparse SN on clips of 32 frames, in the setting of Table X of the SN paper.

Command: tools/dist_train.sh configs/video/paper/i3d_r50-32x2-ssn_8xb8-109e_kinetics400.py 8
Hardware: 8 GPUs, 8 clips each
Published: none published
Measured: not measured
Weights: those of SN, see tasks/video/README.md
Options: norm_cfg.type=SSN, SyncSSN; batch_setting=8x4; model.backbone.with_cp=True
"""

_base_ = "./i3d_r50-32x2_8xb8-109e_kinetics400.py"

norm_cfg = dict(type="SSN")
optim_wrapper = dict(paramwise_cfg=dict(control_lr_mult=0.1, control_clip_grad=1.0))
custom_hooks = [
    dict(type="SparseScheduleHook"),
    dict(type="BatchAverageHook", num_batches=200, required=False),
]
