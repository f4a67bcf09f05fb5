"""3x: 270k iterations of 16 images, learning rate / 10 at 210k and 250k, as 36 epochs of COCO."""

_base_ = "./detection_1x.py"

train_cfg = dict(max_epochs=36)
param_scheduler = [
    dict(type="LinearLR", start_factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=36, milestones=[28, 34], gamma=0.1),
]
