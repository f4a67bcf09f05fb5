"""20 epochs of 1024 images an iteration, learning rate 0.1 falling linearly to 0."""

_base_ = "./face_20e.py"

param_scheduler = [
    dict(type="PolyLR", power=1.0, eta_min=0.0, begin=0, end=20, by_epoch=True,
         convert_to_iter_based=True)
]  # fmt: skip
optim_wrapper = dict(clip_grad=dict(max_norm=5))
auto_scale_lr = dict(base_batch_size=1024)
