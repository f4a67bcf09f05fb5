"""ResNet-50 with SN on ImageNet.

Command: tools/dist_train.sh configs/classification/resnet50-sn_8xb32-100e_imagenet.py 8
Hardware: 8 GPUs, 32 images each; --cfg-options batch_setting=8x4 for another column of Table II
Published: top-1 76.9, top-5 93.2 (paper, Tables II and III)
Measured: not measured
"""

_base_ = "./resnet50-bn_8xb32-100e_imagenet.py"

norm_cfg = dict(type="SN")
model = dict(head=dict(dropout=0.5))
