"""ImageNet weights of a ResNet-50 v1 by norm, and for SN by the batch setting of pretraining."""

pretraining = None  # the first of them
backbone_weights = dict(
    BN="torchvision://resnet50",
    GN="open-mmlab://detectron/resnet50_gn",
    SN={
        "8x2": "checkpoints/resnet50_sn_8x2_segmentation.pth",
        "8x4": "checkpoints/resnet50_sn_8x4.pth",
        "8x32": "checkpoints/resnet50_sn_8x32.pth",
    },
)
