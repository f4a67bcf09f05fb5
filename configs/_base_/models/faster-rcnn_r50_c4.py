"""Faster R-CNN R50-C4: stage 4 of the ResNet is the head, and nothing is frozen."""

_base_ = "mmdet::_base_/models/faster-rcnn_r50-caffe-c4.py"

# The parent holds a `norm_cfg` of its own, which would otherwise take part in the switch.
norm_cfg = dict(_delete_=True, type="BN")
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(
        frozen_stages=-1,
        norm_eval=False,
        style="pytorch",
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    roi_head=dict(
        shared_head=dict(
            norm_eval=False,
            style="pytorch",
            init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
        ),
    ),
    train_cfg=dict(rcnn=dict(sampler=dict(num=256))),
)
