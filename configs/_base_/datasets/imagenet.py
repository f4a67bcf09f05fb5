"""ImageNet-1k at 224 pixels; `imagenet_data.root` puts another folder in its place."""

imagenet_data = dict(root="data/imagenet")

train_pipeline = [
    dict(type="LoadImageTensor"),
    dict(type="torchvision/RandomResizedCrop", size=224, antialias=True),
    dict(type="torchvision/RandomHorizontalFlip"),
    dict(type="PCALighting", std=0.1),
    dict(type="PackImageClass"),
]
test_pipeline = [
    dict(type="LoadImageTensor"),
    dict(type="torchvision/Resize", size=256, antialias=True),
    dict(type="torchvision/CenterCrop", size=224),
    dict(type="PackImageClass"),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(type="ImageClassDataset", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(type="ImageClassDataset", pipeline=test_pipeline),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="TopKAccuracy", topk=(1, 5))
test_evaluator = val_evaluator
