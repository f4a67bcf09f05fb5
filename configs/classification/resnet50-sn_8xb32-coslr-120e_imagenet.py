"""ResNet-50 with SN on ImageNet, the cosine recipe of the released models.

Command: tools/dist_train.sh configs/classification/resnet50-sn_8xb32-coslr-120e_imagenet.py 8
Hardware: 8 GPUs, 32 images each
Published: top-1 77.49, top-5 93.32 (SN README, model zoo)
Measured: not measured
"""

_base_ = [
    "../_base_/models/resnet50_classifier.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/schedules/imagenet_coslr_120e.py",
    "../_base_/classification_runtime.py",
]

norm_cfg = dict(type="SN")
model = dict(head=dict(dropout=0.5))
