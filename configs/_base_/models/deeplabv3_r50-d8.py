"""DeepLabV3 on a ResNet-50 v1 (7x7 stem) of output stride 8, no SN after its image pooling."""

_base_ = "mmseg::_base_/models/deeplabv3_r50-d8.py"

model = dict(
    # The pixels are those of the initial weights: backbone_weights fills them in.
    data_preprocessor=dict(_delete_=True, type="SegDataPreProcessor", pad_val=0, seg_pad_val=255),
    pretrained=None,
    backbone=dict(type="ResNet"),
    decode_head=dict(type="PoolNormASPPHead"),
)
