"""120 epochs: learning rate up to 0.1 in 5 epochs, then down to 0 along a cosine."""

_base_ = "./imagenet_100e.py"

train_cfg = dict(max_epochs=120)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-4, by_epoch=True, end=5, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        T_max=115,
        eta_min=0,
        by_epoch=True,
        begin=5,
        end=120,
        convert_to_iter_based=True,
    ),
]
