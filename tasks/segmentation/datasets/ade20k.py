"""ADE20K, checked."""

from __future__ import annotations

from mmseg.datasets import ADE20KDataset
from mmseg.registry import DATASETS

from .checked import CheckedSegMixin
from .layout import ADE20K


@DATASETS.register_module()
class CheckedADE20KDataset(CheckedSegMixin, ADE20KDataset):
    """mmseg's `ADE20KDataset`, checked as :class:`CheckedSegMixin` says."""

    layout = ADE20K
