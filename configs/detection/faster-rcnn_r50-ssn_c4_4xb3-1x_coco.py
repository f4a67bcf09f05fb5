"""Faster R-CNN R50-C4, SSN in backbone and head.

Command: tools/dist_train.sh configs/detection/faster-rcnn_r50-ssn_c4_4xb3-1x_coco.py 4
Hardware: 4 GPUs, 3 images each
Published: none published
Measured: not measured
Weights: checkpoints/resnet50_sn_8x2.pth: ImageNet SN (8,2), see tasks/detection/README.md
"""

_base_ = "./faster-rcnn_r50-sn_c4_4xb3-1x_coco.py"

norm_cfg = dict(type="SSN")
optim_wrapper = dict(paramwise_cfg=dict(control_lr_mult=0.1, control_clip_grad=1.0))
custom_hooks = [dict(type="SparseScheduleHook")]
