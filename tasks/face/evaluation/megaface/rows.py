"""Embeddings of one set: taken in blocks, checked to be unit vectors, and read ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from tasks.data_checks import DatasetError

TOLERANCE = 1e-3
_Item = TypeVar("_Item")
_Block = TypeVar("_Block")


@dataclass(frozen=True)
class UnitRows:
    """Embeddings that have to be L2-normalised, and what they are called.

    Attributes:
        source: The file or folder that they come from, for messages.
        names: One a row.
        embeddings: float32 of shape (N, D); may be mapped from a file.
    """

    source: str
    names: Sequence[str]
    embeddings: np.ndarray

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Read rows into memory.

        Args:
            rows: int64 of shape (n,).

        Returns:
            float32 of shape (n, D).

        Raises:
            DatasetError: The norm of a row differs from 1 by more than `TOLERANCE`, or is NaN.
        """
        block = np.take(self.embeddings, rows, axis=0)
        norms = np.sqrt(np.einsum("nd,nd->n", block, block))
        # A NaN compares with nothing.
        for place in np.flatnonzero(~(np.abs(norms - 1) <= TOLERANCE)):
            row = rows[place]
            raise DatasetError(
                f"{self.source}: row {row}, the embedding of {self.names[row]}, has norm "
                f"{norms[place]:.4g}; embeddings have to be L2-normalised"
            )
        return block


def read_ahead(read: Callable[[_Item], _Block], items: Iterable[_Item]) -> Iterator[_Block]:
    """What `read` gives for each item; the next one is read by a thread meanwhile."""
    with ThreadPoolExecutor(1) as thread:
        following: Future[_Block] | None = None
        for item in items:
            current, following = following, thread.submit(read, item)
            if current is not None:
                yield current.result()
        if following is not None:
            yield following.result()
