"""100 epochs of 64 clips an iteration, learning rate 0.01, a tenth at epochs 40 and 80."""

_base_ = "./kinetics_109e.py"

train_cfg = dict(max_epochs=100)
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[40, 80], gamma=0.1)]
# Weight decay on every parameter, and clipped gradients, as mmaction2 has it.
optim_wrapper = dict(
    optimizer=dict(nesterov=False),
    paramwise_cfg=None,
    clip_grad=dict(max_norm=40, norm_type=2),
)
