"""ResNet-101 with BN on ImageNet.

Command: tools/dist_train.sh configs/classification/resnet101-bn_8xb32-100e_imagenet.py 8
Hardware: 8 GPUs, 32 images each
Published: top-1 77.6, top-5 93.6 (paper, Table III)
Measured: not measured
"""

_base_ = "./resnet50-bn_8xb32-100e_imagenet.py"

model = dict(backbone=dict(depth=101))
