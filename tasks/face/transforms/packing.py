"""What the model gets of a sample, and of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import FUNCTIONS, TRANSFORMS
from torch import Tensor

from tasks.data_checks import DatasetError

from .batch_memory import BatchMemory
from .reused_arrays import reused_empty


@TRANSFORMS.register_module()
class PackFace(BaseTransform):
    """Keep the image as `inputs` and its class, else its index, as `data_samples`.

    `inputs` is a uint8 array of shape (height, width, 3), `data_samples` a whole number;
    `face_collate` makes tensors of them.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack one sample."""
        number = results["label"] if "label" in results else results["index"]
        return {"inputs": results["img"], "data_samples": number}


class FaceBatch(Sequence):
    """Samples that `PackFace` has packed, in one piece of memory; `face_collate` need not copy it.

    Attributes:
        images: uint8 of shape (samples, height, width, 3).
        numbers: int64 of shape (samples,).
        slot: Where the images are in memory that workers share; None where they are in none.
    """

    def __init__(
        self, samples: Iterable[dict[str, Any]], count: int, memory: BatchMemory | None = None
    ) -> None:
        """Take samples one after the other.

        Args:
            samples: None of them is kept: images that live on would each need memory of their own.
            count: How many there are, at least one.
            memory: Has slots for batches of workers.
        """
        self.numbers = np.empty(count, np.int64)
        for row, sample in enumerate(samples):
            image = sample.pop("inputs")
            if row == 0:
                shape = (count, *image.shape)
                self.slot = None if memory is None else memory.take(shape)
                self.images = reused_empty(shape) if self.slot is None else self.slot.images
                rows = self.images
            if image.strides[1] < 0:  # a mirror image, which OpenCV copies faster
                cv2.flip(image[:, ::-1], 1, rows[row])
            else:
                rows[row] = image
            self.numbers[row] = sample["data_samples"]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, row: Any) -> Any:
        return {"inputs": self.images[row], "data_samples": self.numbers[row]}


def in_one_piece(
    samples: Iterable[Any], count: int, memory: BatchMemory | None = None
) -> Sequence[Any]:
    """Samples as a `FaceBatch`, or as a list where they are not what `PackFace` makes."""
    samples = iter(samples)
    first = next(samples, None)
    if isinstance(first, dict) and isinstance(first.get("inputs"), np.ndarray):
        return FaceBatch(chain([first], samples), count, memory)
    return [first, *samples] if count else []


@FUNCTIONS.register_module()
def face_collate(samples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Make a batch of what `PackFace` packs: `collate_fn=dict(type='face_collate')` of a loader.

    Returns:
        `inputs`, uint8 of shape (images, 3, height, width) in memory of channels last, and
        `data_samples`, int64 of shape (images,).
    """
    if not isinstance(samples, FaceBatch):
        samples = in_one_piece(map(dict, samples), len(samples))
    if not isinstance(samples, FaceBatch):
        raise DatasetError(
            "face_collate makes batches of what PackFace packs; add it at the end of the pipeline"
        )
    # A slot becomes a tensor on its way to the process that asked for the batch.
    inputs = samples.slot or torch.from_numpy(samples.images).permute(0, 3, 1, 2)
    return {"inputs": inputs, "data_samples": torch.from_numpy(samples.numbers)}
