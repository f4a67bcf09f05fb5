"""Mask R-CNN R50-FPN, GN in the backbone, SN in FPN, box head and mask head.

Command: tools/dist_train.sh configs/detection/mask-rcnn_r50-gn_fpn-snhead_8xb2-2x_coco.py 8
Hardware: 8 GPUs, 2 images each
Published: box AP 40.4, mask AP 36.0 (paper, Table VI, row 'GN | SN'; d11)
Measured: not measured
Weights: Detectron ResNet-50 GN (open-mmlab://detectron/resnet50_gn): BGR minus mean, std 1
"""

_base_ = [
    "../_base_/models/mask-rcnn_r50_fpn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/detection_2x.py",
    "../_base_/detection_runtime.py",
]

norm_cfg = dict(
    backbone=dict(type="GN"),
    neck=dict(type="SN", momentum=0.003),
    head=dict(type="SN", momentum=0.003),
)
model = dict(
    data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(init_cfg=dict(checkpoint="open-mmlab://detectron/resnet50_gn")),
)
