"""Mask R-CNN R50-FPN, trained BN in backbone, FPN, box head and mask head.

Command: tools/dist_train.sh configs/detection/mask-rcnn_r50-bn_fpn_8xb2-2x_coco.py 8
Hardware: 8 GPUs, 2 images each
Published: none published
Measured: not measured
Weights: torchvision ResNet-50 (torchvision://resnet50)
"""

_base_ = [
    "../_base_/models/mask-rcnn_r50_fpn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/detection_2x.py",
    "../_base_/detection_runtime.py",
]

norm_cfg = dict(type="BN")
