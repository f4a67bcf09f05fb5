import normlib.openmmlab  # noqa: F401  (serves mmcv's operators before a test module imports mmdet)
