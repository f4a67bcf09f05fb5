"""Faster R-CNN R50-C4, SN in backbone and head.

Command: tools/dist_train.sh configs/detection/faster-rcnn_r50-sn_c4_4xb3-1x_coco.py 4
Hardware: 4 GPUs, 3 images each
Published: box AP 33.0 (paper, Table IV, row 'SN | SN'; d11)
Measured: not measured
Weights: checkpoints/resnet50_sn_8x2.pth: ImageNet SN (8,2), see tasks/detection/README.md
"""

_base_ = [
    "../_base_/models/faster-rcnn_r50_c4.py",
    "../_base_/datasets/coco_detection_600.py",
    "../_base_/schedules/detection_1x_4xb3.py",
    "../_base_/detection_runtime.py",
]

train_dataloader = dict(batch_size=3)
norm_cfg = dict(type="SN", momentum=0.003)
model = dict(
    backbone=dict(init_cfg=dict(checkpoint="checkpoints/resnet50_sn_8x2.pth")),
    roi_head=dict(shared_head=dict(init_cfg=dict(checkpoint="checkpoints/resnet50_sn_8x2.pth"))),
)
