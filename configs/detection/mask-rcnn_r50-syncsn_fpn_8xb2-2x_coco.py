"""Mask R-CNN R50-FPN, SyncSN in backbone, FPN, box head and mask head.

Command: tools/dist_train.sh configs/detection/mask-rcnn_r50-syncsn_fpn_8xb2-2x_coco.py 8
Hardware: 8 GPUs, 2 images each
Published: none published
Measured: not measured
Weights: checkpoints/resnet50_sn_8x2.pth: ImageNet SN (8,2), see tasks/detection/README.md
"""

_base_ = "./mask-rcnn_r50-sn_fpn_8xb2-2x_coco.py"

norm_cfg = dict(type="SyncSN")
