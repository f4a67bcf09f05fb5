"""Which packets a decoder is fed."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.video.decoding.ranges import ranges_to_feed

KEYS = np.isin(np.arange(20), [0, 5, 10, 15])
IN_ORDER = np.arange(20)
# Packets 11 and 12 are shown before the key frame 10.
OPEN = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11, 13, 14, 15, 16, 17, 18, 19])


@pytest.mark.parametrize(
    ("wanted", "ranks", "runs"),
    [
        ([3], IN_ORDER, [(0, 3)]),
        ([8, 6], IN_ORDER, [(5, 8)]),
        ([1, 17], IN_ORDER, [(0, 1), (15, 17)]),
        ([4, 5], IN_ORDER, [(0, 5)]),
        ([11], IN_ORDER, [(10, 11)]),
        ([11], OPEN, [(5, 11)]),
        ([10, 13], OPEN, [(10, 13)]),
        ([10, 12], OPEN, [(5, 12)]),
        ([1, 12], OPEN, [(0, 1), (5, 12)]),
    ],
)
def test_runs(wanted, ranks, runs):
    assert ranges_to_feed(np.array(wanted), KEYS, ranks) == runs


def test_before_the_first_key_frame():
    keys = np.isin(np.arange(20), [4, 8])
    assert ranges_to_feed(np.array([2, 9]), keys, IN_ORDER) == [(0, 2), (8, 9)]
