"""IR-ResNet-18, narrow, at 112 pixels, for laptops, tests and the demo.

Command: tools/dist_train.sh configs/face/toy/arcface_ir18_toy.py 2
Hardware: 2 processes, 32 images each, on 2 CPU cores or on GPUs
Data: python tools/make_toy_data.py faces data/toy_faces
Weights: none, trained from scratch
Options: norm_cfg.type=BN, SN, SyncSN, SSN, SyncSSN; norm_cfg.type=GN norm_cfg.num_groups=4
"""

_base_ = [
    "../../_base_/models/arcface_ir50.py",
    "../../_base_/datasets/ms1mv2.py",
    "../../_base_/schedules/face_20e.py",
    "../../_base_/face_runtime.py",
]

norm_cfg = dict(type="SN", eps=2e-5)
face_data = dict(root="data/toy_faces")
model = dict(
    backbone=dict(depth=18, base_channels=8),
    neck=dict(in_channels=64, out_channels=128, dropout=0.0),
    # Few identities: a smaller sphere, and a margin that beginners can learn.
    head=dict(in_channels=128, loss=dict(scale=16.0, margin=0.2)),
)
train_dataloader = dict(batch_size=32, num_workers=0, persistent_workers=False, pin_memory=False)
val_dataloader = dict(num_workers=0, persistent_workers=False, pin_memory=False)
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=5, val_interval=5)
# A constant rate after warm-up: any train_cfg.max_epochs goes with it.
param_scheduler = [dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20)]
optim_wrapper = dict(optimizer=dict(lr=0.05))
auto_scale_lr = dict(base_batch_size=64)

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=5, max_keep_ckpts=1))
log_processor = dict(window_size=10)
