"""ResNet-50 with SSN on ImageNet: every layer ends with one of the three statistics.

Command: tools/dist_train.sh configs/classification/resnet50-ssn_8xb32-100e_imagenet.py 8
Hardware: 8 GPUs, 32 images each; --cfg-options batch_setting=8x4 for another column of Table II
Published: top-1 77.25, top-5 93.29 (SSN README, model zoo)
Measured: not measured
"""

_base_ = "./resnet50-sn_8xb32-100e_imagenet.py"

norm_cfg = dict(type="SSN", momentum=0.003)
model = dict(backbone=dict(type="StemPoolResNet", stem_pool="ceil"))

optim_wrapper = dict(
    paramwise_cfg=dict(control_lr_mult=0.1, control_decay_mult=0.0, control_clip_grad=1.0)
)

jitter = dict(type="torchvision/ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4)
train_pipeline = [
    dict(type="LoadImageTensor"),
    dict(type="torchvision/RandomResizedCrop", size=224, antialias=True),
    dict(type="torchvision/RandomHorizontalFlip"),
    jitter,
    dict(type="PCALighting", std=0.1),
    dict(type="PackImageClass"),
]
last_pipeline = [
    dict(type="LoadImageTensor"),
    dict(type="torchvision/Resize", size=256, antialias=True),
    dict(type="torchvision/RandomCrop", size=224),
    dict(type="torchvision/RandomHorizontalFlip"),
    jitter,
    dict(type="PCALighting", std=0.1),
    dict(type="PackImageClass"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
custom_hooks = [
    dict(type="SparseScheduleHook"),
    dict(type="PipelineSwitchHook", switch_epoch=95, switch_pipeline=last_pipeline),
]
