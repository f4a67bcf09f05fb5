"""ResNet-50 v1 with zero-initialised last gammas, global average pooling and a linear layer."""

model = dict(
    type="ImageClassifier",
    data_preprocessor=dict(
        type="ImgDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        non_blocking=True,
    ),
    backbone=dict(type="ResNet", depth=50, out_indices=(3,), norm_eval=False),
    head=dict(type="LinearClsHead", num_classes=1000, in_channels=2048),
)
