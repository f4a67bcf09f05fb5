"""Mask R-CNN R50-FPN, SN, from scratch, the released 3x recipe.

Command: tools/dist_train.sh configs/detection/mask-rcnn_r50-sn_fpn_8xb2-scratch-3x_coco.py 8
Hardware: 8 GPUs, 2 images each
Published: none published
Measured: not measured
Weights: none, trained from scratch with no stage frozen
"""

_base_ = [
    "../_base_/models/mask-rcnn_r50_fpn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/detection_3x.py",
    "../_base_/detection_runtime.py",
]

norm_cfg = dict(type="SN", momentum=0.003)
model = dict(backbone=dict(frozen_stages=-1, init_cfg=None))
