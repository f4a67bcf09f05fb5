"""In which order, and when, the packets of a stream are shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .packets import Packets


@dataclass(frozen=True)
class Order:
    """The order of showing of packets.

    Attributes:
        numbers: The packet of each frame that is shown, int64 of shape (frames,).
        ranks: The place of each packet among all in order of showing, int64 of shape (packets,).
    """

    numbers: np.ndarray
    ranks: np.ndarray


def order_by_stamps(packets: Packets) -> Order | None:
    """The order that the time stamps give; None where one has none."""
    if None in packets.stamps:
        return None
    stamps = np.array(packets.stamps, np.int64)
    return _ordered(packets, np.argsort(stamps, kind="stable"))


def order_by_decoding(packets: Packets, emitted: Iterable[int]) -> Order:
    """The order in which a decoder gives frames; what it does not give follows what is before it.

    Args:
        packets: The packets.
        emitted: The number of the packet of each frame that came out.
    """
    keys = np.full(len(packets.packets), -1.0)
    for place, number in enumerate(dict.fromkeys(emitted)):
        keys[number] = place
    for number in range(len(keys)):
        if keys[number] < 0:
            keys[number] = keys[number - 1] if number else -0.5
    return _ordered(packets, np.argsort(keys, kind="stable"))


def shown_at(packets: Packets, order: Order, unit: float, fps: float | None) -> np.ndarray | None:
    """Seconds at which each frame is shown, from the first one on, float64 of shape (frames,).

    Args:
        packets: The packets.
        order: Their order.
        unit: Seconds of a unit of time stamps.
        fps: Frames per second, for streams without time stamps.
    """
    stamps = [packets.stamps[number] for number in order.numbers]
    if None not in stamps:
        # Whole numbers lose nothing, and stamps from a decoder's order need not be ascending.
        ascending = sorted(stamps)
        return np.array([stamp - ascending[0] for stamp in ascending], np.float64) * unit
    return np.arange(len(stamps)) / fps if fps else None


def average_rate(times: np.ndarray | None, otherwise: float | None) -> float | None:
    """Frames per second between the first and the last frame."""
    if times is None or times[-1] <= 0:
        return otherwise
    return (len(times) - 1) / float(times[-1])


def _ordered(packets: Packets, order: np.ndarray) -> Order:
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return Order(order[packets.shown[order]], ranks)
