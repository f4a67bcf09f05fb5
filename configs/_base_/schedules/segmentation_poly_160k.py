"""mmseg's 160k iterations: learning rate 0.01 down to 1e-4, weight decay on every weight."""

_base_ = "./segmentation_poly_80k.py"

train_cfg = dict(max_iters=160_000, val_interval=16_000)
param_scheduler = [dict(type="PolyLR", power=0.9, eta_min=1e-4, end=160_000, by_epoch=False)]
auto_scale_lr = dict(base_batch_size=16)
