"""Detection data sets."""

from .coco import CheckedCocoDataset
from .problems import DatasetError

__all__ = ["CheckedCocoDataset", "DatasetError"]
