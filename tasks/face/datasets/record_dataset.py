"""Faces in RecordIO files, as MS1MV2 comes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.registry import DATASETS

from tasks.data_checks import DatasetError

from .face_images import FaceImages, check_num_classes
from .record_labels import describe, read_image_records, read_property
from .recordio import RecordFile


@DATASETS.register_module()
class FaceRecordDataset(FaceImages):
    """Images of faces in a file of records (`train.rec`) with the identity of each.

    Beside it may be `property`, which says how many identities there are, and `classes.txt` with a
    name a line; identities beyond its lines are named by their numbers.

    Args:
        rec: The file of records.
        idx: Its index; without one the file of that name beside it, if there is one.
        num_classes: Number of identities; else `property` says it, else the highest label does.
        pipeline: Transforms, which get `content`, `where` and `label`.
        max_undecodable: So many images that cannot be decoded may be left out; the next image
            takes the place of each. More of them are an error.

    Raises:
        DatasetError: A file is missing or damaged, a label is beyond the classes, or there are more
            names than classes.
    """

    def __init__(
        self,
        rec: str,
        idx: str | None = None,
        num_classes: int | None = None,
        pipeline: Sequence[dict[str, Any]] = (),
        max_undecodable: int = 0,
    ) -> None:
        self._file = RecordFile(rec, idx)
        self._positions, labels = read_image_records(self._file)
        source = "num_classes"
        if num_classes is None:
            num_classes, source = read_property(rec), "the file 'property' beside it"
        highest = int(labels.argmax())
        where = describe(self._file, self._positions[highest])
        num_classes = check_num_classes(where, int(labels[highest]), num_classes, source)
        classes = _class_names(rec, num_classes)
        self._setup(rec, labels, classes, num_classes, pipeline, max_undecodable)

    def key(self, index: int) -> int:
        """The key of an image in the file."""
        return int(self._file.keys[self._positions[index]])

    def encoded(self, index: int) -> np.ndarray:
        """The bytes of the file of an image, uint8 of shape (bytes,)."""
        return self._file.content(self._positions[index])

    def _where(self, index: int) -> str:
        return f"{self._file.path}: record {self.key(index)}"


def _class_names(rec: str, num_classes: int) -> tuple[str, ...] | None:
    path = os.path.join(os.path.dirname(rec), "classes.txt")
    if not os.path.isfile(path):
        return None
    # The names are those of folders, which may hold other separators of lines.
    with open(path, encoding="utf-8", newline="\n") as file:
        names = tuple(line.rstrip("\r\n") for line in file)
    if len(names) > num_classes:
        raise DatasetError(
            f"{path} has {len(names)} lines, {rec} {num_classes} classes; it has the name of one "
            "class a line, or does not exist"
        )
    return (*names, *map(str, range(len(names), num_classes)))
