"""A set of samples that all workers of a loader share."""

from __future__ import annotations

from collections.abc import Iterator

import torch


class SharedIndices:
    """Indices of samples, in memory shared with worker processes that are started later.

    Each index is a flag of its own, which needs no lock.

    Args:
        size: Number of samples that there are.
    """

    def __init__(self, size: int) -> None:
        self._flags = torch.zeros(size, dtype=torch.bool).share_memory_()

    def add(self, index: int) -> bool:
        """Take up an index; whether it is new."""
        new = index not in self
        self._flags[index] = True
        return new

    def __contains__(self, index: int) -> bool:
        return bool(self._flags[index])

    def __len__(self) -> int:
        return int(self._flags.sum())

    def __iter__(self) -> Iterator[int]:
        """The indices in ascending order."""
        return iter(self._flags.nonzero().flatten().tolist())
