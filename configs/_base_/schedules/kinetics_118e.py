"""118 epochs of 64 clips an iteration, learning rate 0.01, a tenth at epochs 44 and 88."""

_base_ = "./kinetics_109e.py"

train_cfg = dict(max_epochs=118)
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[44, 88], gamma=0.1)]
