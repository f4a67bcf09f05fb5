"""What every face run shares."""

_base_ = "./default_runtime.py"

custom_imports = dict(imports=["normlib.openmmlab", "tasks.face"])
default_scope = "mmengine"
config_rules = ["face_data", "norm_work_dir", "batch_setting"]

default_hooks = dict(
    logger=dict(interval=100),
    checkpoint=dict(interval=1, max_keep_ckpts=3),
    skipped=dict(type="SkippedSamplesHook"),
)
# Images of one size: the fastest algorithms are looked for once.
env_cfg = dict(cudnn_benchmark=True)
