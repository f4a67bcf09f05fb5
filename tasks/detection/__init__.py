"""Detection: data that are checked before training. Importing registers the names for configs.

mmdet needs mmcv's operators: where mmcv has none, import `normlib.openmmlab` first, as the
`custom_imports` of the configs do.
"""

from . import data_config, datasets

__all__ = ["data_config", "datasets"]
