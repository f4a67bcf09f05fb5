"""20 epochs of 512 images an iteration, learning rate 0.1, a tenth at epochs 12, 15 and 18."""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=20, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

param_scheduler = [dict(type="MultiStepLR", by_epoch=True, milestones=[12, 15, 18], gamma=0.1)]

# Weight decay on every parameter, as the authors have it. A limit that no gradient reaches: the
# norm of the gradients is logged, and changes nothing.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="RowSparseSGD", lr=0.1, momentum=0.9, weight_decay=5e-4),
    clip_grad=dict(max_norm=1e9),
)
auto_scale_lr = dict(enable=False, base_batch_size=512)
batch_setting = None
