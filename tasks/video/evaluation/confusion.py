"""Which class was taken for which."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from normlib.checkpoint.saving import replacing

NO_CLASS = -1  # found where no class scores higher than all others


class ConfusedPair(NamedTuple):
    """Two different classes, of which one was taken for the other.

    Attributes:
        true: Index of the right class.
        found: Index of the class that was found.
        count: Number of videos.
        share: Of the videos of the right class, from 0 to 1.
    """

    true: int
    found: int
    count: int
    share: float


@dataclass(frozen=True)
class Confusion:
    """How often each class was taken for each.

    Attributes:
        classes: Names.
        counts: Numbers of videos by the right class and the class found, int64 of shape (classes,
            classes + 1); the last column is for videos of which no class was found.
    """

    classes: Sequence[str]
    counts: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, found: np.ndarray, classes: Sequence[str]) -> Confusion:
        """Count videos.

        Args:
            labels: Right classes, of shape (videos,).
            found: The classes found, of shape (videos,), or `NO_CLASS`.
            classes: Names.
        """
        counts = np.zeros((len(classes), len(classes) + 1), np.int64)
        np.add.at(counts, (labels, found), 1)  # the last column is number -1
        return cls(classes, counts)

    @property
    def shares(self) -> np.ndarray:
        """Of the videos of a class, by the class found; rows of classes without videos are 0.

        float64 of shape (classes, classes).
        """
        return self.counts[:, :-1] / self.counts.sum(1, keepdims=True).clip(min=1)

    @property
    def videos(self) -> int:
        """The number of videos."""
        return int(self.counts.sum())

    @property
    def top1(self) -> float:
        """Videos whose class was found, in per cent."""
        return 100 * float(np.trace(self.counts)) / max(self.videos, 1)

    def confused_pairs(self, most: int) -> list[ConfusedPair]:
        """The pairs of classes that are confused most, by the number of videos, then the share.

        Args:
            most: How many pairs, at most.
        """
        wrong = self.counts[:, :-1].copy()
        np.fill_diagonal(wrong, 0)
        shares = self.shares
        pairs = [
            ConfusedPair(int(true), int(found), int(wrong[true, found]), shares[true, found])
            for true, found in zip(*np.nonzero(wrong), strict=True)
        ]
        return sorted(pairs, key=lambda pair: (-pair.count, -pair.share))[:most]


def write_confusion_table(confusion: Confusion, path: Path) -> None:
    """Write `true class,predicted class,count` for every count above 0.

    Args:
        confusion: What was counted; the predicted class is empty where none was found.
        path: The CSV to write, whole or not at all.

    Raises:
        OSError: The disk refuses.
    """
    names = [*confusion.classes, ""]
    with replacing(path) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["true class", "predicted class", "count"])
        for true, found in zip(*np.nonzero(confusion.counts), strict=True):
            rows.writerow([names[true], names[found], confusion.counts[true, found]])
