"""Faster R-CNN R50-FPN, frozen BN in the backbone, SN in FPN and box head.

Command: tools/dist_train.sh configs/detection/faster-rcnn_r50-bnfrozen_fpn-snhead_8xb2-1x_coco.py 8
Hardware: 8 GPUs, 2 images each
Published: box AP 38.0 (paper, Table V, row 'BN-dagger | SN'; d11)
Measured: not measured
Weights: torchvision ResNet-50 (torchvision://resnet50)
"""

_base_ = [
    "../_base_/models/faster-rcnn_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/detection_1x.py",
    "../_base_/detection_runtime.py",
]

norm_cfg = dict(
    backbone=dict(type="BN", requires_grad=False),
    neck=dict(type="SN", momentum=0.003),
    head=dict(type="SN", momentum=0.003),
)
model = dict(backbone=dict(norm_eval=True))
