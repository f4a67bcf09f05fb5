"""ResNet-50 with BN on ImageNet.

Command: tools/dist_train.sh configs/classification/resnet50-bn_8xb32-100e_imagenet.py 8
Hardware: 8 GPUs, 32 images each; --cfg-options batch_setting=8x4 for another column of Table II
Published: top-1 76.4, top-5 93.0 (paper, Tables II and III)
Measured: not measured
"""

_base_ = [
    "../_base_/models/resnet50_classifier.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/schedules/imagenet_100e.py",
    "../_base_/classification_runtime.py",
]

norm_cfg = dict(type="BN")
