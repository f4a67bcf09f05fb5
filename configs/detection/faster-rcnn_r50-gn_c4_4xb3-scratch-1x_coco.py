"""Faster R-CNN R50-C4, GN, from scratch.

Command: tools/dist_train.sh configs/detection/faster-rcnn_r50-gn_c4_4xb3-scratch-1x_coco.py 4
Hardware: 4 GPUs, 3 images each
Published: box AP 28.3 (paper, Table IV, row 'GN-ddagger | GN'; d11)
Measured: not measured
Weights: none, trained from scratch with no stage frozen
"""

_base_ = [
    "../_base_/models/faster-rcnn_r50_c4.py",
    "../_base_/datasets/coco_detection_600.py",
    "../_base_/schedules/detection_1x_4xb3.py",
    "../_base_/detection_runtime.py",
]

train_dataloader = dict(batch_size=3)
norm_cfg = dict(type="GN")
model = dict(backbone=dict(init_cfg=None), roi_head=dict(shared_head=dict(init_cfg=None)))
