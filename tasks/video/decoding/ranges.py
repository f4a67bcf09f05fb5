"""Which packets a decoder has to be fed."""

from __future__ import annotations

import numpy as np


def ranges_to_feed(
    wanted: np.ndarray, keys: np.ndarray, ranks: np.ndarray
) -> list[tuple[int, int]]:
    """Runs of packets that suffice to decode some of them.

    A run goes from a key frame to the last packet wanted of it. A frame that is shown before its
    key frame (of an open group of pictures) also refers to the group before, so that its run starts
    at the key frame before. What comes before the first key frame is fed too.

    Args:
        wanted: Numbers of packets.
        keys: Whether each packet is a key frame, bool of shape (packets,).
        ranks: Place of each packet in the order of showing, int64 of shape (packets,).

    Returns:
        First and last packet of each run, ascending and apart.
    """
    starts = np.flatnonzero(keys)
    runs: list[tuple[int, int]] = []
    for number in np.sort(wanted).tolist():
        place = int(np.searchsorted(starts, number, side="right")) - 1
        while place >= 0 and ranks[starts[place]] > ranks[number]:
            place -= 1
        first = int(starts[place]) if place >= 0 else 0
        if runs and first <= runs[-1][1] + 1:
            runs[-1] = (min(first, runs[-1][0]), number)
        else:
            runs.append((first, number))
    return runs
