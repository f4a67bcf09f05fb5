"""Faster R-CNN R50-FPN, trained BN in backbone, FPN and box head.

Command: tools/dist_train.sh configs/detection/faster-rcnn_r50-bn_fpn_8xb2-1x_coco.py 8
Hardware: 8 GPUs, 2 images each
Published: none published
Measured: not measured
Weights: torchvision ResNet-50 (torchvision://resnet50)
"""

_base_ = [
    "../_base_/models/faster-rcnn_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/detection_1x.py",
    "../_base_/detection_runtime.py",
]

norm_cfg = dict(type="BN")
