"""Faster R-CNN R50-FPN with the authors' normalised box head (4 convolutions, 1 linear layer)."""

_base_ = "mmdet::_base_/models/faster-rcnn_r50_fpn.py"

model = dict(
    backbone=dict(norm_eval=False),
    roi_head=dict(
        bbox_roi_extractor=dict(roi_layer=dict(sampling_ratio=2)),
        bbox_head=dict(type="Shared4Conv1FCBBoxHead", conv_out_channels=256, fc_out_channels=1024),
    ),
)
