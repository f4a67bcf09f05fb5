"""DeepLabV3 R50-d8 on Cityscapes with sparse SN and the recipe of mmsegmentation.

Command: tools/dist_train.sh
    configs/segmentation/modern/deeplabv3_r50-d8-ssn_4xb2-80k_cityscapes-769x769.py 4
Hardware: 4 GPUs, 2 images each
Published: none published
Measured: not measured
Weights: those of SN, see tasks/segmentation/README.md
Options: norm_cfg.type=SSN, SyncSSN; pretraining=8x2, 8x4, 8x32
"""

_base_ = "./deeplabv3_r50-d8_4xb2-80k_cityscapes-769x769.py"

norm_cfg = dict(type="SyncSSN")
optim_wrapper = dict(paramwise_cfg=dict(control_lr_mult=0.1, control_clip_grad=1.0))
custom_hooks = [dict(type="SparseScheduleHook")]
