"""Faster R-CNN R50-C4, SN in backbone and head, the released 2x recipe.

Command: tools/dist_train.sh configs/detection/faster-rcnn_r50-sn_c4_8xb2-2x_coco.py 8
Hardware: 8 GPUs, 2 images each
Published: box AP 38.07 (SwitchNorm_Detection README, row 'R-50-C4 faster SN-(8,32)')
Measured: not measured
Weights: checkpoints/resnet50_sn_8x32.pth: ImageNet SN (8,32), see tasks/detection/README.md
"""

_base_ = [
    "../_base_/models/faster-rcnn_r50_c4.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/detection_2x.py",
    "../_base_/detection_runtime.py",
]

norm_cfg = dict(type="SN", momentum=0.003)
model = dict(
    backbone=dict(init_cfg=dict(checkpoint="checkpoints/resnet50_sn_8x32.pth")),
    roi_head=dict(shared_head=dict(init_cfg=dict(checkpoint="checkpoints/resnet50_sn_8x32.pth"))),
)
