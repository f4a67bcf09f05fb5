"""Faster R-CNN R50-C4, trained BN in backbone and head.

Command: tools/dist_train.sh configs/detection/faster-rcnn_r50-bn_c4_4xb3-1x_coco.py 4
Hardware: 4 GPUs, 3 images each
Published: box AP 19.3 (paper, Table IV, row 'BN | BN'; d11)
Measured: not measured
Weights: torchvision ResNet-50 (torchvision://resnet50)
"""

_base_ = [
    "../_base_/models/faster-rcnn_r50_c4.py",
    "../_base_/datasets/coco_detection_600.py",
    "../_base_/schedules/detection_1x_4xb3.py",
    "../_base_/detection_runtime.py",
]

train_dataloader = dict(batch_size=3)
norm_cfg = dict(type="BN")
