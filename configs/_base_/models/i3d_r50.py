"""I3D ResNet-50 from ImageNet weights of the norm, as in Table X of the SN paper."""

model = dict(
    type="VideoRecognizer",
    # The pixels are those of the initial weights: backbone_weights fills them in.
    data_preprocessor=dict(type="ClipDataPreprocessor"),
    backbone=dict(type="I3DResNet", depth=50, out_indices=(3,)),
    head=dict(type="LinearClsHead", num_classes=400, in_channels=2048, dropout=0.5),
    max_testing_views=10,
)
# Of the batch settings of SN's pretraining the paper does not name one: this is its main one.
backbone_weights = dict(
    BN="torchvision://resnet50",
    GN="open-mmlab://detectron/resnet50_gn",
    SN="checkpoints/resnet50_sn_8x32.pth",
)
