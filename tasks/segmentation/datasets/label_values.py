"""Which values the pixels of a label file may have, and which classes they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

IGNORED = 255
MOST_CLASSES = 254  # of labels with 8 bits, with or without `reduce_zero_label`


@dataclass(frozen=True)
class LabelValues:
    """The values of label files.

    Attributes:
        num_classes: Number of classes that the files tell apart.
        reduce_zero_label: Whether 0 is ignored and the classes count from 1; otherwise they count
            from 0. 255 is ignored in both.
    """

    num_classes: int
    reduce_zero_label: bool

    def __str__(self) -> str:
        if self.reduce_zero_label:
            return f"1 to {self.num_classes} for the classes, 0 and {IGNORED} where ignored"
        return f"0 to {self.num_classes - 1} for the classes and {IGNORED} where ignored"

    def wrong(self, label: np.ndarray) -> list[int]:
        """Values that a label must not have.

        Args:
            label: uint8 of shape (height, width), as stored.
        """
        # One sweep at the speed of memory; 255 + 1 is 0.
        most = self.num_classes + self.reduce_zero_label
        if (label + np.uint8(1)).max() <= most:
            return []
        values = np.unique(label)
        return values[values + np.uint8(1) > most].tolist()

    def classes(self, label: np.ndarray, label_map: Mapping[int, int] | None = None) -> np.ndarray:
        """Class indices of a label whose values are right.

        Args:
            label: uint8 of shape (height, width), as stored.
            label_map: New index of a class by its old one; 255 for those that are ignored.

        Returns:
            uint8 of the same shape, 255 where ignored.
        """
        if not self.reduce_zero_label and label_map is None:
            return label
        table = np.arange(256, dtype=np.uint8)
        for old, new in (label_map or {}).items():
            table[old] = new
        if self.reduce_zero_label:
            table[1:] = table[:-1].copy()
            table[[0, IGNORED]] = IGNORED
        return cv2.LUT(label, table)


def wrong_values(path: str, wrong: list[int], values: LabelValues) -> str:
    """What is wrong with a label file that has values which it must not have."""
    names = ", ".join(map(str, wrong[:5])) + ", ..." * (len(wrong) > 5)
    return f"{path} has the value{'s' * (len(wrong) > 1)} {names}; its values are {values}"
