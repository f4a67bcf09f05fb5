"""Mask R-CNN R50-FPN, frozen BN in the backbone, head without norm.

Command: tools/dist_train.sh configs/detection/mask-rcnn_r50-bnfrozen_fpn-2fc_8xb2-2x_coco.py 8
Hardware: 8 GPUs, 2 images each
Published: box AP 38.6, mask AP 34.2 (paper, Table VI, row 'BN-dagger | none'; d5, d11)
Measured: not measured
Weights: torchvision ResNet-50 (torchvision://resnet50)
"""

_base_ = [
    "../_base_/models/mask-rcnn_r50_fpn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/detection_2x.py",
    "../_base_/detection_runtime.py",
]

norm_cfg = dict(backbone=dict(type="BN", requires_grad=False))
model = dict(
    backbone=dict(norm_eval=True),
    roi_head=dict(bbox_head=dict(type="Shared2FCBBoxHead")),
)
