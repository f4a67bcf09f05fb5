"""Data with classes of their own, checked."""

from __future__ import annotations

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from .checked import CheckedSegMixin
from .layout import OWN


@DATASETS.register_module()
class CheckedSegDataset(CheckedSegMixin, BaseSegDataset):
    """mmseg's `BaseSegDataset`, checked as :class:`CheckedSegMixin` says.

    `metainfo` names the classes.
    """

    layout = OWN
