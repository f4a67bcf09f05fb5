"""DeepLab of the SN paper: ResNet-50 of output stride 8, one 3x3 convolution, deep supervision."""

_base_ = "mmseg::_base_/models/fcn_r50-d8.py"

model = dict(
    # The pixels are those of the initial weights: backbone_weights fills them in.
    data_preprocessor=dict(_delete_=True, type="SegDataPreProcessor", pad_val=0, seg_pad_val=255),
    pretrained=None,
    backbone=dict(type="ResNet"),
    decode_head=dict(
        num_convs=1,
        concat_input=False,
        dropout_ratio=0,
        loss_decode=dict(avg_non_ignore=True),
    ),
    auxiliary_head=dict(channels=512, dropout_ratio=0, loss_decode=dict(avg_non_ignore=True)),
)
