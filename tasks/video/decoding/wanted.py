"""The frames that a read asks for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def distinct(
    indices: Sequence[int] | np.ndarray, count: int, path: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """The different ones of some indices, ascending.

    Args:
        indices: Whole numbers in any order, with repeats.
        count: Number of frames.
        path: Of the video, for messages.

    Returns:
        The different ones, int64, and the place among them of each index; None for the latter where
        the indices are the different ones as they stand.

    Raises:
        IndexError: One is out of range.
    """
    asked = np.asarray(indices, dtype=np.int64).reshape(-1)
    if len(asked) and not 0 <= (worst := asked[np.argmax(np.abs(asked - count / 2))]) < count:
        raise IndexError(f"{path}: frame {worst} was asked for; it has the frames 0 to {count - 1}")
    if np.all(asked[1:] > asked[:-1]):
        return asked, None
    return np.unique(asked, return_inverse=True)


def asked_order(frames: np.ndarray, places: np.ndarray | None) -> np.ndarray:
    """The frames in the order asked for, given the places that `distinct` found."""
    return frames if places is None else frames[places.reshape(-1)]
