"""What every video run shares."""

_base_ = "./default_runtime.py"

custom_imports = dict(imports=["normlib.openmmlab", "tasks.classification", "tasks.video"])
config_rules = ["kinetics_data", "backbone_weights", "batch_setting"]

default_hooks = dict(
    logger=dict(interval=100),
    checkpoint=dict(interval=1, max_keep_ckpts=3, save_best="accuracy/top1", rule="greater"),
    skipped=dict(type="SkippedSamplesHook"),
)
# Clips of one size: the fastest algorithms are looked for once.
env_cfg = dict(cudnn_benchmark=True)
