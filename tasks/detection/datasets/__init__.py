"""Detection data sets."""

from tasks.data_checks import DatasetError

from .coco import CheckedCocoDataset

__all__ = ["CheckedCocoDataset", "DatasetError"]
