"""Cityscapes, checked."""

from __future__ import annotations

from mmseg.datasets import CityscapesDataset
from mmseg.registry import DATASETS

from .checked import CheckedSegMixin
from .layout import CITYSCAPES


@DATASETS.register_module()
class CheckedCityscapesDataset(CheckedSegMixin, CityscapesDataset):
    """mmseg's `CityscapesDataset`, checked as :class:`CheckedSegMixin` says."""

    layout = CITYSCAPES
