"""2x: 180k iterations of 16 images, learning rate / 10 at 120k and 160k, as 24 epochs of COCO."""

_base_ = "./detection_1x.py"

train_cfg = dict(max_epochs=24)
param_scheduler = [
    dict(type="LinearLR", start_factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=24, milestones=[16, 22], gamma=0.1),
]
