"""ResNet-50 v2 (pre-activation) with SN on ImageNet, the cosine recipe of the released models.

Command: tools/dist_train.sh configs/classification/resnet50v2-sn_8xb32-coslr-120e_imagenet.py 8
Hardware: 8 GPUs, 32 images each
Published: top-1 77.57, top-5 93.65 (SN README, model zoo)
Measured: not measured
"""

_base_ = "./resnet50-sn_8xb32-coslr-120e_imagenet.py"

model = dict(backbone=dict(_delete_=True, type="PreActResNet", depth=50))
