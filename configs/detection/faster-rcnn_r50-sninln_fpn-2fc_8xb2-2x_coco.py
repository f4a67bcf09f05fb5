"""Faster R-CNN R50-FPN, SN of IN and LN in backbone and FPN, box head without norm.

Command: tools/dist_train.sh configs/detection/faster-rcnn_r50-sninln_fpn-2fc_8xb2-2x_coco.py 8
Hardware: 8 GPUs, 2 images each
Published: box AP 38.99 (SwitchNorm_Detection README, row 'R-50-FPN faster SN-(8,1)')
Measured: not measured
Weights: checkpoints/resnet50_sn_8x1.pth: ImageNet SN (8,1), IN and LN only,
    see tasks/detection/README.md
"""

_base_ = [
    "../_base_/models/faster-rcnn_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/detection_2x.py",
    "../_base_/detection_runtime.py",
]

norm_cfg = dict(
    backbone=dict(type="SN", normalizers=("in", "ln")),
    neck=dict(type="SN", normalizers=("in", "ln")),
)
model = dict(
    backbone=dict(init_cfg=dict(checkpoint="checkpoints/resnet50_sn_8x1.pth")),
    roi_head=dict(bbox_head=dict(type="Shared2FCBBoxHead")),
)
