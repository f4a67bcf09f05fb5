"""Every image of a data set at several sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmseg.registry import DATASETS

from tasks.data_checks import DatasetError
from tasks.segmentation.transforms.resize import ResizeShortSide


@DATASETS.register_module()
class ShortSideDataset:
    """Every image of a data set at several sizes, each told apart from the others by its index.

    Sample `index` is image `index // len(short_sides)` with the short side
    `short_sides[index % len(short_sides)]`, which `ResizeShortSide` in the pipeline of the data set
    brings about. `SameShapeBatchSampler` asks `group_of` which samples fit into one batch.

    Args:
        dataset: A data set whose samples have `width` and `height`, as those of this package do,
            or its config.
        short_sides: Lengths in pixels.
        lazy_init: Whether to leave the loading of `dataset` to `full_init`.

    Raises:
        DatasetError: The sizes of the images are not known.
        ValueError: There are no short sides, or the pipeline has no `ResizeShortSide`.
    """

    def __init__(
        self,
        dataset: BaseDataset | dict[str, Any],
        short_sides: Sequence[int],
        lazy_init: bool = False,
    ) -> None:
        if not short_sides or min(short_sides) < 1:
            raise ValueError(f"short_sides is {short_sides}; it lists lengths in pixels")
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        if not any(isinstance(t, ResizeShortSide) for t in self.dataset.pipeline.transforms):
            raise ValueError(
                "the pipeline of the data set in ShortSideDataset has no ResizeShortSide, which "
                "brings the images to their size"
            )
        self.short_sides = tuple(short_sides)
        self._upright: np.ndarray | None = None
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict[str, Any]:
        """What the data set tells about itself."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the data set, and take note of the orientation of every image.

        Raises:
            DatasetError: The sizes of the images are not known.
        """
        if self._upright is not None:
            return
        self.dataset.full_init()
        samples = [self.dataset.get_data_info(index) for index in range(len(self.dataset))]
        unknown = [s["img_path"] for s in samples if s.get("width") is None]
        if unknown:
            raise DatasetError(
                f"the sizes of {len(unknown)} of {len(samples)} images are not known, such as "
                f"{unknown[0]}; ShortSideDataset needs them: set check_files_up_to of its data set "
                "to at least their number, and keep the files on a local disk"
            )
        self._upright = np.array([s["height"] > s["width"] for s in samples])

    def group_of(self, index: int) -> tuple[bool, int]:
        """Whether a sample is higher than wide, and its short side: alike in one batch."""
        image, short_side = self._parts(index)
        assert self._upright is not None
        return bool(self._upright[image]), short_side

    def get_data_info(self, index: int) -> dict[str, Any]:
        """What is known about a sample before its pipeline."""
        image, short_side = self._parts(index)
        return self.dataset.get_data_info(image) | {"short_side": short_side}

    def __len__(self) -> int:
        self.full_init()
        return len(self.dataset) * len(self.short_sides)

    def __getitem__(self, index: int) -> Any:
        return self.dataset.pipeline(self.get_data_info(index))

    def _parts(self, index: int) -> tuple[int, int]:
        self.full_init()
        image, size = divmod(range(len(self))[index], len(self.short_sides))
        return image, self.short_sides[size]
