"""Mask R-CNN R50-FPN, frozen BN in the backbone, SN in FPN, box head and mask head.

Command: tools/dist_train.sh configs/detection/mask-rcnn_r50-bnfrozen_fpn-snhead_8xb2-2x_coco.py 8
Hardware: 8 GPUs, 2 images each
Published: box AP 40.0, mask AP 34.8 (paper, Table VI, row 'BN-dagger | SN'; d11)
Measured: not measured
Weights: torchvision ResNet-50 (torchvision://resnet50)
"""

_base_ = [
    "../_base_/models/mask-rcnn_r50_fpn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/detection_2x.py",
    "../_base_/detection_runtime.py",
]

norm_cfg = dict(
    backbone=dict(type="BN", requires_grad=False),
    neck=dict(type="SN", momentum=0.003),
    head=dict(type="SN", momentum=0.003),
)
model = dict(backbone=dict(norm_eval=True))
