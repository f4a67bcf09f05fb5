"""PSPNet R50-d8 on Cityscapes with sparse SN and the recipe of the SN paper.

Command: tools/dist_train.sh
    configs/segmentation/paper/pspnet_r50-d8-ssn_8xb2-37k_cityscapes-713x713.py 8
Hardware: 8 GPUs, 2 images each
Published: none published
Measured: not measured
Weights: those of SN, see tasks/segmentation/README.md
Options: norm_cfg.type=SSN, SyncSSN; pretraining=8x2, 8x4, 8x32
"""

_base_ = "./pspnet_r50-d8_8xb2-37k_cityscapes-713x713.py"

norm_cfg = dict(type="SyncSSN")
optim_wrapper = dict(paramwise_cfg=dict(control_lr_mult=0.1, control_clip_grad=1.0))
custom_hooks = [dict(type="SparseScheduleHook")]
