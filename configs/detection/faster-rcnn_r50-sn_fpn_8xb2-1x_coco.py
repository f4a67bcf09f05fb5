"""Faster R-CNN R50-FPN, SN in backbone, FPN and box head.

Command: tools/dist_train.sh configs/detection/faster-rcnn_r50-sn_fpn_8xb2-1x_coco.py 8
Hardware: 8 GPUs, 2 images each
Published: box AP 39.3 (paper, Table V, row 'SN | SN'; d6, d11)
Measured: not measured
Weights: checkpoints/resnet50_sn_8x2.pth: ImageNet SN (8,2), see tasks/detection/README.md
"""

_base_ = [
    "../_base_/models/faster-rcnn_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/detection_1x.py",
    "../_base_/detection_runtime.py",
]

norm_cfg = dict(type="SN", momentum=0.003)
model = dict(backbone=dict(init_cfg=dict(checkpoint="checkpoints/resnet50_sn_8x2.pth")))
