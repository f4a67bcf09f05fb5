"""Faster R-CNN R50-C4, frozen BN in backbone and head.

Command: tools/dist_train.sh configs/detection/faster-rcnn_r50-bnfrozen_c4_4xb3-1x_coco.py 4
Hardware: 4 GPUs, 3 images each
Published: box AP 29.6 (paper, Table IV, row 'BN-dagger | BN-dagger'; d11)
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
norm_cfg = dict(type="BN", requires_grad=False)
model = dict(backbone=dict(norm_eval=True), roi_head=dict(shared_head=dict(norm_eval=True)))
