"""Faster R-CNN R50-C4, trained BN, from scratch.

Command: tools/dist_train.sh configs/detection/faster-rcnn_r50-bn_c4_4xb3-scratch-1x_coco.py 4
Hardware: 4 GPUs, 3 images each
Published: box AP 20.0 (paper, Table IV, row 'BN-ddagger | BN'; d11)
Measured: not measured
Weights: none, trained from scratch with no stage frozen
"""

_base_ = "./faster-rcnn_r50-bn_c4_4xb3-1x_coco.py"

model = dict(backbone=dict(init_cfg=None), roi_head=dict(shared_head=dict(init_cfg=None)))
