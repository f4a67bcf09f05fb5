"""mmseg's 80k iterations: learning rate 0.01 down to 1e-4, weight decay on every weight."""

_base_ = "./segmentation_poly_100k.py"

train_cfg = dict(max_iters=80_000, val_interval=8_000)
param_scheduler = [dict(type="PolyLR", power=0.9, eta_min=1e-4, end=80_000, by_epoch=False)]
optim_wrapper = dict(
    optimizer=dict(lr=0.01, weight_decay=5e-4),
    paramwise_cfg=dict(_delete_=True, control_decay_mult=0.0),
)
auto_scale_lr = dict(base_batch_size=8)
