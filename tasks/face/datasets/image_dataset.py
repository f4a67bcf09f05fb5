"""Faces in image files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.registry import DATASETS

from tasks.image_classes import read_class_folders, read_list_file

from .face_images import FaceImages, check_num_classes
from .files import read_bytes


@DATASETS.register_module()
class FaceImageDataset(FaceImages):
    """Images of faces in a folder for each identity, or named in a list file.

    Args:
        data_root: Folder of the data.
        data_prefix: Folder of the images, relative to `data_root`.
        ann_file: List file of lines `PATH LABEL`, relative to `data_root`, with paths relative to
            the folder of images; without one the images lie in a sub-folder an identity.
        num_classes: Number of identities; else the folders or labels say it.
        pipeline: Transforms, which get `content`, `where`, `img_path` and `label`.
        max_undecodable: So many images that cannot be decoded may be left out; the next image
            takes the place of each. More of them are an error.

    Raises:
        DatasetError: A file or folder is missing, empty or not of its form, or a label is beyond
            the classes.
    """

    def __init__(
        self,
        data_root: str = "",
        data_prefix: str = "",
        ann_file: str = "",
        num_classes: int | None = None,
        pipeline: Sequence[dict[str, Any]] = (),
        max_undecodable: int = 0,
    ) -> None:
        folder = os.path.join(data_root, data_prefix)
        if ann_file:
            source = os.path.join(data_root, ann_file)
            self._images = read_list_file(source, folder)
        else:
            source = folder
            self._images = read_class_folders(folder, "face_data")
        labels, classes = self._images.labels, self._images.classes
        needed = check_num_classes(
            source, self._images.num_classes - 1, num_classes, f"num_classes={num_classes}"
        )
        if classes is not None:  # names for identities of which there are no images
            classes = (*classes, *map(str, range(len(classes), needed)))
        self._setup(source, labels, classes, needed, pipeline, max_undecodable)

    def encoded(self, index: int) -> np.ndarray:
        """The bytes of the file of an image, uint8 of shape (bytes,)."""
        return read_bytes(self._where(index))

    def _where(self, index: int) -> str:
        return os.path.join(self._images.folder, os.fsdecode(self._images.paths[index]))

    def _sample(self, index: int) -> dict[str, Any]:
        return super()._sample(index) | {"img_path": self._where(index)}
