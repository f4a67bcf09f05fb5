"""Checks for the segmentation data sets of mmseg."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence

from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.logging import print_log

from tasks.data_checks import DatasetError, Problem, raise_if_any
from tasks.data_checks.loading import follows_exif, with_checked_loading
from tasks.data_checks.scan import spread

from .examination import ExaminationMixin
from .file_check import check_files
from .image_list import check_image_list
from .label_values import LabelValues
from .layout import Layout, check_folder
from .pairs import check_pairs
from .stray_images import check_stray_images
from .value_check import check_values

_CHECKED = {
    "LoadImageFromFile": "LoadImageChecked",
    "LoadAnnotations": "mmseg.LoadSegLabelChecked",
}
_DECODED = 500
_TOOL = "tools/check_data.py looks into all"


class CheckedSegMixin(ExaminationMixin):
    """Refuses data that would fail or mislead later; comes before a data set of mmseg.

    The checks run once, where the data set is loaded: in the main process, before any worker
    starts. Folders, files, forms and sizes are checked for all samples, the values of the labels
    for up to 500 of them. `LoadImageFromFile` in the pipeline acts as `LoadImageChecked`, and
    `LoadAnnotations` as `LoadSegLabelChecked`, so that a file which breaks later, or a label not
    looked into, is an error too.

    Samples get `num_classes`, that of the label files, and with the check of their files `width`
    and `height`.

    Attributes:
        layout: Which layout is expected, for messages.
        examined_with: Arguments that leave to `examine` what it checks.

    Args:
        pipeline: Transforms, as for the data set of mmseg.
        check_files_up_to: The files are opened if there are no more samples than this; otherwise it
            is checked that they exist, and the values of up to 500 labels. 0 leaves all that to
            `examine` and the loading, as do files that are not local.
        **kwargs: As for the data set of mmseg.

    Raises:
        DatasetError: With everything that is wrong, naming the files.
    """

    layout: Layout
    examined_with = dict(check_files_up_to=0)

    def __init__(
        self, *, pipeline: Sequence = (), check_files_up_to: int = 25_000, **kwargs
    ) -> None:
        self.check_files_up_to = check_files_up_to
        super().__init__(pipeline=with_checked_loading(pipeline, _CHECKED), **kwargs)

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict[int, int] | None:
        """New index of every class of the label files, where `metainfo` names some of them.

        Raises:
            DatasetError: It names others.
        """
        known = cls.METAINFO.get("classes")
        if known and (unknown := [name for name in new_classes or () if name not in known]):
            raise DatasetError(
                f"metainfo names the classes {unknown[:5]}, which {cls.__name__} has not among "
                f"its {len(known)}; data with classes of their own are for CheckedSegDataset"
            )
        return super().get_label_map(new_classes)

    def check_class_list(self) -> list[Problem]:
        """Compare the classes with a list that came with the data, where the benchmark has one."""
        return []

    def load_data_list(self) -> list[dict]:
        """List the samples and check them; mmseg calls this to load the data set.

        Raises:
            DatasetError: There is something wrong.
        """
        values = self.label_values()
        local = self._is_local()
        if local:
            self._check_layout()
        if self.ann_file:
            check_image_list(self.ann_file, self.backend_args)
        samples = super().load_data_list()
        for sample in samples:
            sample["num_classes"] = values.num_classes
        if local:
            self._check_samples(samples, values)
        return samples

    def _folders(self) -> tuple[str, str | None]:
        return self.data_prefix.get("img_path", ""), self.data_prefix.get("seg_map_path")

    def _is_local(self) -> bool:
        backend = get_file_backend(self._folders()[0], backend_args=self.backend_args)
        return isinstance(backend, LocalBackend)

    def _check_layout(self) -> None:
        root = self.data_root or os.curdir
        for kind, folder in zip(("images", "labels"), self._folders(), strict=True):
            if folder is not None:
                check_folder(kind, folder, root, self.layout)
        if self.ann_file and not os.path.isfile(self.ann_file):
            raise DatasetError(f"the list of images, {self.ann_file!r}, does not exist")

    def _check_samples(self, samples: list[dict], values: LabelValues) -> None:
        start = time.monotonic()
        images, labels = self._folders()
        suffixes = self.img_suffix, self.seg_map_suffix
        problems, spare = check_pairs(
            samples, (images, labels), suffixes, self.layout, not self.check_files_up_to
        )
        if samples and not self.ann_file:
            problems += check_stray_images(images, labels, self.img_suffix, self.layout)
        raise_if_any(images, problems + self.check_class_list())
        opened = len(samples) <= self.check_files_up_to
        if opened:
            raise_if_any(images, check_files(samples, follows_exif(self.pipeline.transforms)))
        decoded: list[str] = []
        if labels is not None and self.check_files_up_to:
            decoded = [samples[at]["seg_map_path"] for at in spread(len(samples), _DECODED)]
            raise_if_any(labels, check_values(decoded, values))
        if spare and not self.ann_file:
            text = f"{spare} files *{self.seg_map_suffix} in {labels} have no image in {images}"
            print_log(f"{text} (*{self.img_suffix})", "current", logging.WARNING)
        seconds = time.monotonic() - start
        print_log(_said(images, seconds, len(samples), opened, len(decoded)), "current")


def _said(folder: str, seconds: float, samples: int, opened: bool, decoded: int) -> str:
    """What was checked."""
    what = f"{samples} samples of {folder} in {seconds:.1f} s"
    labels = "all labels" if decoded == samples else f"{decoded} labels"
    if not opened:
        what = f"listed {what}"
        return f"{what}, decoded {labels}; {_TOOL}" if decoded else what
    what = f"checked {what}"
    if decoded:
        what += f", the values of {labels} among them"
    return f"{what}; {_TOOL}" if 0 < decoded < samples else what
