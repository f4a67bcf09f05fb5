"""What a look at one sample of a data set tells, the same for every task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Sample:
    """One sample, read whole.

    Attributes:
        file: path of its image (or video), for messages.
        size: (width, height) in pixels; None where it cannot be read.
        labels: how often each class occurs, by class index, in the data set's `label_unit`.
        problems: what is wrong with it, each text naming the file and the value.
        ignored: how many labels belong to no class, in the unit of `labels`.
    """

    file: str
    size: tuple[int, int] | None = None
    labels: Mapping[int, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    ignored: int = 0


class Examinable(Protocol):
    """A data set that can be looked through, sample by sample, without its pipeline.

    Its class may have `examined_with`, a dict of arguments for it that leave out those checks of
    files which `examine` makes as well.

    Attributes:
        metainfo: has the names of the classes under "classes".
        label_unit: what `Sample.labels` counts, such as "objects" or "pixels".
    """

    metainfo: Mapping
    label_unit: str

    def __len__(self) -> int:
        """Number of samples."""

    def examine(self, index: int) -> Sample:
        """Read the files of a sample whole; what is wrong is told, not raised."""

    def picture(self, index: int) -> np.ndarray:
        """A sample with its labels drawn, uint8 of shape (height, width, 3), blue, green, red.

        Raises:
            DatasetError: its files cannot be read.
        """
