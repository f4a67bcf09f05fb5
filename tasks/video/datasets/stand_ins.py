"""Which videos take the place of one that cannot be read."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np


def stand_ins(index: int, count: int) -> Iterator[int]:
    """All other samples in an order that only the sample decides, and that differs between samples.

    Lists are often sorted by class, so that neighbours would make a batch less random.

    Args:
        index: The sample.
        count: Number of samples.

    Yields:
        Indices of samples, each but `index` once.
    """
    draw = np.random.default_rng(index)
    stride = 1
    while count > 2:
        stride = int(draw.integers(1, count))
        if math.gcd(stride, count) == 1:
            break
    for step in range(1, count):
        yield (index + step * stride) % count
