"""Video classification: I3D on Kinetics and data like it. Importing registers the names.

mmdet, whose ResNets are inflated here, needs mmcv's operators: where mmcv has none, import
`normlib.openmmlab` first, as the `custom_imports` of the configs do.
"""

from tasks import backbone_weights, batch_setting

from . import data_config, datasets, metrics, models, transforms

__all__ = [
    "backbone_weights",
    "batch_setting",
    "data_config",
    "datasets",
    "metrics",
    "models",
    "transforms",
]
