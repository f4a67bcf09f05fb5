"""Faster R-CNN R50-C4, GN in backbone and head.

Command: tools/dist_train.sh configs/detection/faster-rcnn_r50-gn_c4_4xb3-1x_coco.py 4
Hardware: 4 GPUs, 3 images each
Published: box AP 32.7 (paper, Table IV, row 'GN | GN'; d11)
Measured: not measured
Weights: Detectron ResNet-50 GN (open-mmlab://detectron/resnet50_gn): BGR minus mean, std 1
"""

_base_ = [
    "../_base_/models/faster-rcnn_r50_c4.py",
    "../_base_/datasets/coco_detection_600.py",
    "../_base_/schedules/detection_1x_4xb3.py",
    "../_base_/detection_runtime.py",
]

train_dataloader = dict(batch_size=3)
norm_cfg = dict(type="GN")
model = dict(
    data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(init_cfg=dict(checkpoint="open-mmlab://detectron/resnet50_gn")),
    roi_head=dict(shared_head=dict(init_cfg=dict(checkpoint="open-mmlab://detectron/resnet50_gn"))),
)
