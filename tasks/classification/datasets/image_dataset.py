"""Images and their classes as a data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import Compose
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from torch import Tensor
from torch.utils.data import Dataset

from tasks.classification.transforms import LoadImageTensor
from tasks.data_checks import DatasetError
from tasks.data_checks.sample import Sample
from tasks.image_classes import check_same_classes, read_class_folders, read_list_file

from .examination import draw_image, examine_image


@DATASETS.register_module()
class ImageClassDataset(Dataset):
    """Images in class folders, or named in a list file.

    Args:
        data_root: Folder of the data.
        data_prefix: Folder of the images, relative to `data_root`.
        ann_file: List file of lines `PATH LABEL`, relative to `data_root`, with paths relative to
            the folder of images; without one the images lie in a sub-folder a class.
        classes: Names that the classes must have, in this order.
        pipeline: Transforms, which get `img_path` and `label`.

    Raises:
        DatasetError: A file or folder is missing, empty or not of its form, or the classes are
            others.
    """

    label_unit = "images"

    def __init__(
        self,
        data_root: str = "",
        data_prefix: str = "",
        ann_file: str = "",
        classes: Sequence[str] | None = None,
        pipeline: Sequence[dict[str, Any]] = (),
    ) -> None:
        folder = os.path.join(data_root, data_prefix)
        if ann_file:
            source = os.path.join(data_root, ann_file)
            self._images = read_list_file(source, folder)
        else:
            source = folder
            self._images = read_class_folders(folder, "imagenet_data")
        if classes is not None:
            self._check_classes(source, tuple(classes))
        self.pipeline = Compose(list(pipeline))
        count = self._images.num_classes
        print_log(f"{source}: {len(self)} images of {count} classes", "current")

    @property
    def metainfo(self) -> dict[str, Any]:
        """Names of the classes, or their numbers where they have no names."""
        count = self._images.num_classes
        return {"classes": self._images.classes or tuple(map(str, range(count)))}

    def __len__(self) -> int:
        return len(self._images.paths)

    def __getitem__(self, index: int) -> Any:
        return self.pipeline(self.get_data_info(index))

    def get_data_info(self, index: int) -> dict[str, Any]:
        """The path of an image, and its class."""
        path, label = self._sample(index)
        return {"img_path": path, "label": label}

    def examine(self, index: int) -> Sample:
        """Decode the image of a sample whole."""
        return examine_image(*self._sample(index), self._load)

    def picture(self, index: int) -> np.ndarray:
        """The image of a sample with the name of its class.

        Raises:
            DatasetError: The image cannot be read.
        """
        return draw_image(*self._sample(index), self.metainfo["classes"], self._load)

    def _sample(self, index: int) -> tuple[str, int]:
        path = os.path.join(self._images.folder, os.fsdecode(self._images.paths[index]))
        return path, int(self._images.labels[index])

    def _load(self, path: str) -> Tensor:
        """The image as the pipeline loads it."""
        own = (step for step in self.pipeline.transforms if isinstance(step, LoadImageTensor))
        return next(own, LoadImageTensor()).transform({"img_path": path})["img"]

    def _check_classes(self, source: str, classes: tuple[str, ...]) -> None:
        own = self._images.classes
        if own is None:
            if self._images.num_classes > len(classes):
                raise DatasetError(
                    f"{source} has the label {self._images.num_classes - 1}, but there are "
                    f"{len(classes)} classes, 0 to {len(classes) - 1}"
                )
        else:
            check_same_classes(source, own, classes)
