"""Image classification on ImageNet and data like it. Importing registers the names for configs.

mmdet, whose ResNets are trained here, needs mmcv's operators: where mmcv has none, import
`normlib.openmmlab` first, as the `custom_imports` of the configs do.
"""

from tasks import batch_setting

from . import data_config, datasets, metrics, models, transforms

__all__ = ["batch_setting", "data_config", "datasets", "metrics", "models", "transforms"]
