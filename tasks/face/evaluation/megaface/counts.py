"""How many scores of each probe reach its thresholds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

_SHARE = 64  # rows that a thread takes at a time


def count_at_least(scores: Tensor, thresholds: Tensor, counts: Tensor) -> None:
    """Add the number of scores >= each threshold.

    A probe's highest score decides for most thresholds, which no score reaches.

    Args:
        scores: float32 of shape (P, n), n at least 1.
        thresholds: float32 of shape (P, T), ascending along T; inf is never reached.
        counts: int64 of shape (P, T), added to in place.
    """
    reached = (thresholds <= scores.amax(1, keepdim=True)).sum(1)
    count = count_by_rows if scores.device.type == "cpu" else count_by_places
    count(scores, thresholds, counts, reached)


def count_by_rows(scores: Tensor, thresholds: Tensor, counts: Tensor, reached: Tensor) -> None:
    """The counting on a CPU: a row stays in the cache while it is compared.

    Args:
        scores: As for :func:`count_at_least`, and so are `thresholds` and `counts`.
        thresholds: The first `reached` of each row are compared.
        counts: Added to in place.
        reached: int64 of shape (P,).
    """
    rows, marks, sums = scores.numpy(), thresholds.numpy(), counts.numpy()
    lengths = reached.tolist()

    def count(places: list[int]) -> None:
        above = np.empty(rows.shape[1], bool)
        for place in places:
            for index in range(lengths[place]):
                np.greater_equal(rows[place], marks[place, index], out=above)
                sums[place, index] += np.count_nonzero(above)

    busy = torch.nonzero(reached)[:, 0].tolist()
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        # The comparisons leave the interpreter to other threads.
        for _ in threads.map(count, [busy[i : i + _SHARE] for i in range(0, len(busy), _SHARE)]):
            pass


def count_by_places(scores: Tensor, thresholds: Tensor, counts: Tensor, reached: Tensor) -> None:
    """The counting on a GPU: the n-th thresholds of all probes at once.

    Args:
        scores: As for :func:`count_at_least`, and so are `thresholds` and `counts`.
        thresholds: The first `reached` of each row are compared.
        counts: Added to in place.
        reached: int64 of shape (P,).
    """
    for index in range(int(reached.max())):
        places = torch.nonzero(reached > index)[:, 0]
        above = scores[places] >= thresholds[places, index, None]
        counts[places, index] += above.sum(1)
