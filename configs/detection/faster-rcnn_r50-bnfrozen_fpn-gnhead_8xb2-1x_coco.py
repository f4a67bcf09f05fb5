"""Faster R-CNN R50-FPN, frozen BN in the backbone, GN in FPN and box head.

Command: tools/dist_train.sh configs/detection/faster-rcnn_r50-bnfrozen_fpn-gnhead_8xb2-1x_coco.py 8
Hardware: 8 GPUs, 2 images each
Published: box AP 37.2 (paper, Table V, row 'BN-dagger | GN'; d11)
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
    neck=dict(type="GN"),
    head=dict(type="GN"),
)
model = dict(backbone=dict(norm_eval=True))
