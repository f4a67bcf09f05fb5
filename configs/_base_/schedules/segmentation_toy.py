"""60 iterations from scratch with one evaluation at their end, some 15 seconds on a CPU core."""

_base_ = "./segmentation_poly_100k.py"

train_cfg = dict(max_iters=60, val_interval=60)
# A constant rate after warm-up: any train_cfg.max_iters goes with it.
param_scheduler = [dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=10)]
# AdamW learns more than SGD in so few steps.
optim_wrapper = dict(optimizer=dict(_delete_=True, type="AdamW", lr=5e-3, weight_decay=1e-4))
auto_scale_lr = dict(base_batch_size=4)
