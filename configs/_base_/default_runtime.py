"""What every run shares: registries, hooks, environment, logging and loading of weights."""

custom_imports = dict(imports=["normlib.openmmlab"], allow_failed_imports=False)
default_scope = "mmdet"

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=3),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    # Running statistics that are not synchronised differ between ranks: average them.
    sync_buffers=dict(type="SyncStatisticsHook"),
    metrics=dict(type="MetricsFileHook"),
    ratios=dict(type="RatioRecorderHook"),
    non_finite_loss=dict(type="NonFiniteLossHook"),
)

launcher = "none"
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)

log_processor = dict(type="LogProcessor", window_size=50, by_epoch=True)
log_level = "INFO"

load_from = None
resume = False
# Regular expressions of model keys that a checkpoint may lack; any other misfit is an error.
allow_missing_weights = []
