"""Mask R-CNN R50-FPN, SN of IN and LN in backbone, FPN, box head and mask head.

Command: tools/dist_train.sh configs/detection/mask-rcnn_r50-sninln_fpn_8xb2-2x_coco.py 8
Hardware: 8 GPUs, 2 images each
Published: box AP 41.01, mask AP 36.12
    (SwitchNorm_Detection README, row 'R-50-FPN mask SN-(8,1)'; d7)
Measured: not measured
Weights: checkpoints/resnet50_sn_8x1.pth: ImageNet SN (8,1), IN and LN only,
    see tasks/detection/README.md
"""

_base_ = [
    "../_base_/models/mask-rcnn_r50_fpn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/detection_2x.py",
    "../_base_/detection_runtime.py",
]

norm_cfg = dict(type="SN", normalizers=("in", "ln"))
model = dict(backbone=dict(init_cfg=dict(checkpoint="checkpoints/resnet50_sn_8x1.pth")))
