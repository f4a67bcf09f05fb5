"""Semantic segmentation on ADE20K and Cityscapes. Importing registers the names for configs.

mmseg needs mmcv's operators: where mmcv has none, import `normlib.openmmlab` first, as the
`custom_imports` of the configs do.
"""

from tasks import backbone_weights

from . import data_config, datasets, metrics, models, samplers, transforms

__all__ = [
    "backbone_weights",
    "data_config",
    "datasets",
    "metrics",
    "models",
    "samplers",
    "transforms",
]
