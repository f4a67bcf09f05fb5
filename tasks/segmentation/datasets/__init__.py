"""Segmentation data sets."""

from .ade20k import CheckedADE20KDataset
from .cityscapes import CheckedCityscapesDataset
from .own_classes import CheckedSegDataset

__all__ = ["CheckedADE20KDataset", "CheckedCityscapesDataset", "CheckedSegDataset"]
