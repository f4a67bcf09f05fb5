custom_imports = dict(imports=["tests.tiny.task"], allow_failed_imports=False)
default_scope = "mmengine"
model = dict(type="TinyModel", backbone=dict(type="TinyBackbone", norm_cfg=dict(type="BN")))
data = dict(
    batch_size=2,
    num_workers=0,
    dataset=dict(type="TinyData", size=8),
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
train_dataloader = data
val_dataloader = data
test_dataloader = data
val_evaluator = dict(type="TinyAccuracy")
test_evaluator = dict(type="TinyAccuracy")
train_cfg = dict(by_epoch=True, max_epochs=2)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.05, momentum=0.9))
param_scheduler = dict(type="MultiStepLR", by_epoch=True, milestones=[1])
default_hooks = dict(logger=dict(type="LoggerHook", interval=1))
env_cfg = dict(dist_cfg=dict(backend="nccl"))
randomness = dict(seed=0)
log_level = "INFO"
