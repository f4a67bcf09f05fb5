"""1x: 90k iterations of 16 images, learning rate / 10 at 60k and 80k, as 12 epochs of COCO."""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=12, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

param_scheduler = [
    dict(type="LinearLR", start_factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]

# The authors' parameter groups: no weight decay on gamma, beta, control parameters and biases;
# biases of convolutions and linear layers learn at twice the rate.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(
        norm_decay_mult=0.0, control_decay_mult=0.0, bias_lr_mult=2.0, bias_decay_mult=0.0
    ),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
