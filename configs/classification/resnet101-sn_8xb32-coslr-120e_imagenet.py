"""ResNet-101 with SN on ImageNet, the cosine recipe of the released models.

Command: tools/dist_train.sh configs/classification/resnet101-sn_8xb32-coslr-120e_imagenet.py 8
Hardware: 8 GPUs, 32 images each
Published: top-1 78.54, top-5 94.10 (SN README, model zoo; d3)
Measured: not measured
"""

_base_ = "./resnet50-sn_8xb32-coslr-120e_imagenet.py"

model = dict(backbone=dict(depth=101))
