"""ADE20K, checked."""

from __future__ import annotations

import os

from mmseg.datasets import ADE20KDataset
from mmseg.registry import DATASETS

from tasks.data_checks import Problem

from . import object_info
from .checked import CheckedSegMixin
from .layout import ADE20K


@DATASETS.register_module()
class CheckedADE20KDataset(CheckedSegMixin, ADE20KDataset):
    """mmseg's `ADE20KDataset`, checked as :class:`CheckedSegMixin` says."""

    layout = ADE20K

    def check_class_list(self) -> list[Problem]:
        """Compare the classes with the list of objects in the root, if there is one."""
        path = os.path.join(self.data_root or os.curdir, object_info.NAME)
        if not os.path.isfile(path):
            return []
        return object_info.check_object_info(path, self.METAINFO["classes"])
