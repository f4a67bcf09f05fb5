"""Sets of distractors of several sizes, and how few passes over the data they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.data_checks import DatasetError


@dataclass(frozen=True)
class DistractorSet:
    """Distractors that probes are matched against.

    Attributes:
        name: What it is called in tables.
        size: Number of distractors that it is known by; of these, some may be excluded.
        rows: Their rows in the embeddings, int64 of shape (n,), each once.
    """

    name: str
    size: int
    rows: np.ndarray

    def without(self, excluded: np.ndarray) -> DistractorSet:
        """The same set, of the same name and size, without some rows.

        Raises:
            DatasetError: None is left.
        """
        rows = self.rows[~np.isin(self.rows, excluded)]
        if not len(rows):
            raise DatasetError(f"all {self.size:,} distractors of set {self.name} are noisy")
        return DistractorSet(self.name, self.size, rows)


def first_rows(
    rows: np.ndarray, sizes: Sequence[int] | None, source: str, name: str = "first"
) -> list[DistractorSet]:
    """The first N of some rows, for several N.

    Args:
        rows: int64 of shape (n,).
        sizes: The N; None for 10, 100 and so on, and all.
        source: What the rows are from, for messages.
        name: Of the sets.

    Raises:
        DatasetError: A size is more than there are.
    """
    if not len(rows):
        raise DatasetError(f"{source} has no distractor")
    if sizes is None:
        powers = [10**power for power in range(1, 16) if 10**power < len(rows)]
        sizes = [*powers, len(rows)]
    for size in sizes:
        if not 1 <= size <= len(rows):
            raise DatasetError(f"{size:,} distractors are asked for; {source} has {len(rows):,}")
    return [DistractorSet(name, size, rows[:size]) for size in sorted(set(sizes))]


def chains(sets: Sequence[DistractorSet]) -> list[list[int]]:
    """Group sets of which each holds the one before, so that one pass serves all of a group.

    Returns:
        Places in `sets`, each in one group, from small to large.
    """
    found: list[list[int]] = []
    for place in sorted(range(len(sets)), key=lambda place: len(sets[place].rows)):
        rows = sets[place].rows
        for chain in found:
            if np.isin(sets[chain[-1]].rows, rows).all():
                chain.append(place)
                break
        else:
            found.append([place])
    return found


def segments(sets: Sequence[DistractorSet]) -> list[np.ndarray]:
    """What each set of a chain adds to the one before: ascending rows, int64."""
    added, before = [], np.empty(0, np.int64)
    for entry in sets:
        added.append(np.setdiff1d(entry.rows, before))
        before = entry.rows
    return added
