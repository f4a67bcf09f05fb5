"""What every classification run shares."""

_base_ = "./default_runtime.py"

custom_imports = dict(imports=["normlib.openmmlab", "tasks.classification"])
config_rules = ["imagenet_data", "batch_setting"]

default_hooks = dict(
    logger=dict(interval=100),
    # All are kept: hard ratios are taken from epochs in the middle of a training.
    checkpoint=dict(interval=5, max_keep_ckpts=-1, save_best="accuracy/top1", rule="greater"),
)
env_cfg = dict(cudnn_benchmark=True)
