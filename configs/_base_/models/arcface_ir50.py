"""IR-ResNet-50, an embedding of 512 numbers and ArcFace over all identities."""

model = dict(
    type="FaceRecognizer",
    data_preprocessor=dict(
        type="ImgDataPreprocessor", mean=[127.5] * 3, std=[127.5] * 3, non_blocking=True
    ),
    backbone=dict(type="IRResNet", depth=50),
    neck=dict(type="EmbeddingNeck"),
    head=dict(
        type="PartialFC", num_classes=85742, loss=dict(type="ArcFace", scale=64.0, margin=0.5)
    ),
)
