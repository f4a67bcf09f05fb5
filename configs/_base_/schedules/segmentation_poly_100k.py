"""100k iterations of 16 images, learning rate 0.02 down to 0 as (1 - t) to the 0.9."""

train_cfg = dict(type="IterBasedTrainLoop", max_iters=100_000, val_interval=10_000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

param_scheduler = [dict(type="PolyLR", power=0.9, eta_min=0, end=100_000, by_epoch=False)]

# Weight decay on weights of convolutions alone, as the authors have it.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0, control_decay_mult=0.0, bias_decay_mult=0.0),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
