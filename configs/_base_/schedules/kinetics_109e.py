"""109 epochs of 64 clips an iteration, learning rate 0.01, a tenth at epochs 41 and 82.

On the 234,643 training videos of the published baseline: 400,000 iterations, steps after 150,000
and 300,000.
"""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=109, val_interval=5)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[41, 82], gamma=0.1)]

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=1e-4, nesterov=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, control_decay_mult=0.0),
)
auto_scale_lr = dict(enable=False, base_batch_size=64)
batch_setting = None
