"""Mask R-CNN R50-FPN, SN in backbone, FPN, box head and mask head.

Command: tools/dist_train.sh configs/detection/mask-rcnn_r50-sn_fpn_8xb2-2x_coco.py 8
Hardware: 8 GPUs, 2 images each
Published: box AP 41.0, mask AP 36.5 (paper, Table VI, row 'SN | SN'; d7, d11)
Measured: not measured
Weights: checkpoints/resnet50_sn_8x2.pth: ImageNet SN (8,2), see tasks/detection/README.md
"""

_base_ = [
    "../_base_/models/mask-rcnn_r50_fpn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/detection_2x.py",
    "../_base_/detection_runtime.py",
]

norm_cfg = dict(type="SN", momentum=0.003)
model = dict(backbone=dict(init_cfg=dict(checkpoint="checkpoints/resnet50_sn_8x2.pth")))
