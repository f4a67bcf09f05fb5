"""Setting 1 of the paper: 12 images an iteration, 80k at 0.01 and 40k at 0.001, as 12 epochs."""

_base_ = "./detection_1x.py"

param_scheduler = [
    dict(type="LinearLR", start_factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=12, milestones=[8], gamma=0.1),
]
optim_wrapper = dict(optimizer=dict(lr=0.01))
auto_scale_lr = dict(base_batch_size=12)
