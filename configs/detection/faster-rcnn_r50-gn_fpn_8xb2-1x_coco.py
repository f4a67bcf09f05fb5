"""Faster R-CNN R50-FPN, GN in backbone, FPN and box head.

Command: tools/dist_train.sh configs/detection/faster-rcnn_r50-gn_fpn_8xb2-1x_coco.py 8
Hardware: 8 GPUs, 2 images each
Published: box AP 38.2 (paper, Table V, row 'GN | GN'; d11)
Measured: not measured
Weights: Detectron ResNet-50 GN (open-mmlab://detectron/resnet50_gn): BGR minus mean, std 1
"""

_base_ = [
    "../_base_/models/faster-rcnn_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/detection_1x.py",
    "../_base_/detection_runtime.py",
]

norm_cfg = dict(type="GN")
model = dict(
    data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(init_cfg=dict(checkpoint="open-mmlab://detectron/resnet50_gn")),
)
