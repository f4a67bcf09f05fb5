"""A data set without files, for what looks through data sets."""

from __future__ import annotations

import os

import numpy as np

from tasks.data_checks import DatasetError
from tasks.data_checks.sample import Sample

COLOURS = np.array([[0, 0, 255], [0, 255, 0], [255, 0, 0]], np.uint8)  # red, green, blue


class Squares:
    """Plain squares; sample k has class k % 2 of three, twice, and is 10 + k pixels wide.

    Args:
        count: number of samples.
        broken: indices of those that cannot be read.
        marked: indices of those with a problem that can be read.
    """

    label_unit = "pixels"

    def __init__(self, count: int, broken=(), marked=()) -> None:
        self.metainfo = {"classes": ("red", "green", "blue")}
        self.count, self.broken, self.marked = count, set(broken), set(marked)

    def __len__(self) -> int:
        return self.count

    def examine(self, index: int) -> Sample:
        file = f"/data/squares/{index}.png"
        if index in self.broken:
            return Sample(file, problems=(f"{file} is cut off",))
        problems = (f"{file} has the value {index}",) if index in self.marked else ()
        return Sample(file, (10 + index, 10), {index % 2: 2}, problems)

    def picture(self, index: int) -> np.ndarray:
        if index in self.broken:
            raise DatasetError(f"/data/squares/{index}.png is cut off")
        return np.tile(COLOURS[index % 2], (10, 10 + index, 1))


class Dying(Squares):
    """Its worker is gone before it answers."""

    def examine(self, index: int) -> Sample:
        os._exit(3)


class Faulty(Squares):
    """Its code has a bug."""

    def examine(self, index: int) -> Sample:
        raise ZeroDivisionError(f"sample {index}")
