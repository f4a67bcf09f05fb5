"""What data sets of faces with identities share: reading, examining, and images to leave out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.logging import print_log
from torch.utils.data import Dataset

from tasks.data_checks import DatasetError
from tasks.data_checks.drawing import fitted, put_text
from tasks.data_checks.sample import Sample
from tasks.face.transforms.batch_memory import BatchMemory
from tasks.face.transforms.decoding import (
    IMAGE_SIZE,
    UndecodableFaceError,
    decode_rgb,
    wrong_size,
)
from tasks.face.transforms.packing import in_one_piece

_WARNING = 30


class FaceImages(Dataset):
    """Images of faces with the identity of each; sub-classes say where they are.

    Attributes:
        metainfo: Under "classes" the names of the identities, or their numbers.
        num_classes: Number of identities that labels may name.
        label_unit: What `examine` counts.
    """

    label_unit = "images"

    def _setup(
        self,
        source: str,
        labels: np.ndarray,
        classes: Sequence[str] | None,
        num_classes: int,
        pipeline: Sequence[dict[str, Any]],
        max_undecodable: int,
    ) -> None:
        """Take over what a sub-class has found.

        Args:
            source: File or folder, for messages.
            labels: Class of each image, int64 of shape (images,).
            classes: Names of the classes, if they have any.
            num_classes: Number of classes, more than any label.
            pipeline: Transforms.
            max_undecodable: How many images may be left out.
        """
        if max_undecodable < 0:
            raise DatasetError(f"max_undecodable is {max_undecodable}; it counts images from 0")
        self._source = source
        self._labels = labels
        self.num_classes = num_classes
        self.metainfo = {"classes": tuple(classes or map(str, range(num_classes)))}
        self.pipeline = Compose(list(pipeline))
        self.max_undecodable = max_undecodable
        self._memory = BatchMemory()
        # Which images are left out, in memory that all workers share; a flag needs no lock.
        self._left_out = (
            torch.zeros(len(labels), dtype=torch.bool).share_memory_() if max_undecodable else None
        )
        identities = np.count_nonzero(np.bincount(labels, minlength=1))
        print_log(
            f"{source}: {len(labels):,} images of {identities:,} identities ({num_classes:,} "
            "classes)",
            "current",
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> Any:
        if self._left_out is None:
            return self.pipeline(self._sample(index))
        for step in range(len(self)):
            at = (index + step) % len(self)
            if self._left_out[at]:
                continue
            try:
                return self.pipeline(self._sample(at))
            except UndecodableFaceError as error:
                self._leave_out(at, error)
        raise DatasetError(f"{self._source}: none of {len(self)} images can be decoded")

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """The samples of a batch, as loaders ask for them."""
        return in_one_piece(map(self.__getitem__, indices), len(indices), self._memory)

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Where an image comes from, and its class."""
        return {"img_path": self._where(index), "label": self.label(index)}

    def label(self, index: int) -> int:
        """The class of an image."""
        return int(self._labels[index])

    def encoded(self, index: int) -> np.ndarray:
        """The bytes of the file of an image, uint8 of shape (bytes,).

        Raises:
            DatasetError: They cannot be read.
        """
        raise NotImplementedError

    def skipped(self) -> list[str]:
        """The images that could not be decoded and have been left out so far, in any worker."""
        if self._left_out is None:
            return []
        return [self._where(index) for index in self._left_out.nonzero().flatten().tolist()]

    def examine(self, index: int) -> Sample:
        """Decode an image whole."""
        where, label = self._where(index), self.label(index)
        try:
            image = decode_rgb(self.encoded(index), where)
        except DatasetError as error:
            return Sample(where, labels={label: 1}, problems=(str(error),))
        size = image.shape[1::-1]
        problems = () if size == IMAGE_SIZE else (wrong_size(where, size),)
        return Sample(where, size, {label: 1}, problems)

    def picture(self, index: int) -> np.ndarray:
        """An image with its identity in the upper left corner.

        Raises:
            DatasetError: The image cannot be read.
        """
        image = decode_rgb(self.encoded(index), self._where(index))
        picture = fitted(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        put_text(picture, self.metainfo["classes"][self.label(index)], (0, 0))
        return picture

    def _where(self, index: int) -> str:
        """What an image is called in messages."""
        raise NotImplementedError

    def _sample(self, index: int) -> dict[str, Any]:
        return {
            "content": self.encoded(index),
            "where": self._where(index),
            "label": self._labels[index],
        }

    def _leave_out(self, index: int, error: UndecodableFaceError) -> None:
        self._left_out[index] = True
        count = int(self._left_out.sum())
        if count > self.max_undecodable:
            raise DatasetError(
                f"{error}. With it {count} images cannot be decoded, more than "
                f"max_undecodable={self.max_undecodable}"
            ) from error
        print_log(
            f"{error}. The next image takes its place ({count} of at most {self.max_undecodable})",
            "current",
            _WARNING,
        )


def check_num_classes(where: str, highest: int, num_classes: int | None, source: str) -> int:
    """The number of classes: what is given, if no label is beyond it, else what labels need.

    Args:
        where: The image with the highest label.
        highest: That label.
        num_classes: A given number of classes.
        source: Who gives it.

    Raises:
        DatasetError: The label is beyond the classes.
    """
    if num_classes is None:
        return highest + 1
    if highest >= num_classes:
        raise DatasetError(
            f"{where} has the label {highest}, but {source} says that there are {num_classes} "
            f"classes, 0 to {num_classes - 1}"
        )
    return num_classes
