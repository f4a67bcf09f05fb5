"""PSPNet R50-d8 on ADE20K with sparse SN and the recipe of mmsegmentation.

Command: tools/dist_train.sh
    configs/segmentation/modern/pspnet_r50-d8-ssn_4xb4-160k_ade20k-512x512.py 4
Hardware: 4 GPUs, 4 images each
Published: none published
Measured: not measured
Weights: those of SN, see tasks/segmentation/README.md
Options: norm_cfg.type=SSN, SyncSSN; pretraining=8x2, 8x4, 8x32
"""

_base_ = "./pspnet_r50-d8_4xb4-160k_ade20k-512x512.py"

norm_cfg = dict(type="SyncSSN")
optim_wrapper = dict(paramwise_cfg=dict(control_lr_mult=0.1, control_clip_grad=1.0))
custom_hooks = [dict(type="SparseScheduleHook")]
