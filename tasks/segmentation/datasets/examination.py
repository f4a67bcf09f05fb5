"""A look at single samples of a segmentation data set."""

from __future__ import annotations

import numpy as np

from tasks.data_checks import DatasetError
from tasks.data_checks.loading import LoadImageChecked
from tasks.data_checks.sample import Sample

from .label_file import read_label, size_difference
from .label_ids import label_ids_hint
from .label_values import IGNORED, MOST_CLASSES, LabelValues, wrong_values
from .picture import draw


class ExaminationMixin:
    """Makes a data set of mmseg one that can be looked through (`data_checks.sample.Examinable`).

    Attributes:
        label_unit: What `examine` counts.
    """

    label_unit = "pixels"

    def label_values(self) -> LabelValues:
        """The values of the label files, before `metainfo` chooses some of the classes.

        Raises:
            DatasetError: There are no classes, or more than label files can tell apart.
        """
        classes = self.METAINFO.get("classes") or self._metainfo.get("classes") or ()
        if not 0 < len(classes) <= MOST_CLASSES:
            raise DatasetError(
                f"{type(self).__name__} has {len(classes)} classes; metainfo=dict(classes=...) "
                f"names them, 1 to {MOST_CLASSES}"
            )
        return LabelValues(len(classes), self.reduce_zero_label)

    def examine(self, index: int) -> Sample:
        """Read image and label whole, and count the pixels of each class."""
        info = self.get_data_info(index)
        problems: list[str] = []
        size = None
        try:
            size = self._image(info).shape[1::-1]
        except DatasetError as error:
            problems.append(str(error))
        labels, ignored = {}, 0
        if "seg_map_path" in info:
            labels, ignored = self._count(info, size, problems)
        return Sample(info["img_path"], size, labels, tuple(problems), ignored)

    def picture(self, index: int) -> np.ndarray:
        """The image beside its label in the colours of the classes, which are named below.

        Raises:
            DatasetError: A file cannot be read.
        """
        info = self.get_data_info(index)
        image = self._image(info)
        label = np.full(image.shape[:2], 255, np.uint8)
        if "seg_map_path" in info:
            stored = read_label(info["seg_map_path"], self.backend_args)
            label = self.label_values().classes(stored, self.label_map)
        return draw(image, label, self.metainfo["classes"], self.metainfo["palette"])

    def _image(self, info: dict) -> np.ndarray:
        loaders = (t for t in self.pipeline.transforms if isinstance(t, LoadImageChecked))
        color_type = getattr(next(loaders, None), "color_type", "color")
        loader = LoadImageChecked(color_type=color_type, backend_args=self.backend_args)
        return loader({"img_path": info["img_path"]})["img"]

    def _count(
        self, info: dict, size: tuple[int, int] | None, problems: list[str]
    ) -> tuple[dict[int, int], int]:
        """Pixels of each class, and ignored ones; what is wrong is added to the problems."""
        path = info["seg_map_path"]
        try:
            label = read_label(path, self.backend_args)
        except DatasetError as error:
            problems.append(str(error))
            return {}, 0
        if size and (difference := size_difference(path, label.shape, size[::-1])):
            problems.append(difference)
        values = self.label_values()
        if wrong := values.wrong(label):
            hint = label_ids_hint([path], wrong, values.num_classes)
            problems.append(wrong_values(path, wrong, values) + hint)
        counts = np.bincount(values.classes(label, self.label_map).ravel(), minlength=256)
        present = np.flatnonzero(counts[: len(self.metainfo["classes"])])
        return {int(index): int(counts[index]) for index in present}, int(counts[IGNORED])
