"""ResNet-18, narrow, at 64 pixels, for laptops, tests and the demo.

Its backbone is that of configs/detection/toy: the weights drop in.

Command: tools/dist_train.sh configs/classification/toy/resnet18_toy.py 2
Hardware: 2 processes, 16 images each, on 2 CPU cores or on GPUs
Data: python tools/make_toy_data.py imagenet data/toy_imagenet
"""

_base_ = [
    "../../_base_/models/resnet50_classifier.py",
    "../../_base_/datasets/imagenet.py",
    "../../_base_/schedules/imagenet_100e.py",
    "../../_base_/classification_runtime.py",
]

norm_cfg = dict(type="SN")
imagenet_data = dict(root="data/toy_imagenet")
model = dict(
    # Starting as identities, the blocks would need more epochs.
    backbone=dict(depth=18, base_channels=32, zero_init_residual=False),
    head=dict(in_channels=256),
)

train_pipeline = [
    dict(type="LoadImageTensor"),
    dict(type="torchvision/RandomResizedCrop", size=64, scale=(0.85, 1), antialias=True),
    dict(type="torchvision/RandomHorizontalFlip"),
    dict(type="PackImageClass"),
]
test_pipeline = [
    dict(type="LoadImageTensor"),
    dict(type="torchvision/Resize", size=64, antialias=True),
    dict(type="torchvision/CenterCrop", size=64),
    dict(type="PackImageClass"),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=0, persistent_workers=False, pin_memory=False, dataset=dict(pipeline=test_pipeline)
)
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=4, val_interval=4)
# A constant rate after warm-up: any train_cfg.max_epochs goes with it.
param_scheduler = [dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20)]
optim_wrapper = dict(optimizer=dict(lr=0.05, weight_decay=5e-4))
auto_scale_lr = dict(base_batch_size=32)

default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(interval=4, max_keep_ckpts=1, save_best=None)
)
log_processor = dict(window_size=10)
