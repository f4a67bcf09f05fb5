"""Cars, trucks, buses and trams, seen from behind."""

from __future__ import annotations

import numpy as np

from ..surfaces import Surface, tint
from .place import Part, Place, Span

_GLASS = Surface((70, 55, 45))
_BLACK = Surface((28, 28, 28))
_RED = Surface((40, 40, 220))
_WHITE = Surface((235, 235, 235))


def _wheels(place: Place, half: float) -> list[Part]:
    return [(place.face((x, x + 0.3), (0, 0.55)), _BLACK) for x in (-half, half - 0.3)]


def _lamps(place: Place, half: float, up: float) -> list[Part]:
    return [(place.face((x, x + 0.3), (up, up + 0.2)), _RED) for x in (-half, half - 0.3)]


def _side_windows(place: Place, half: float, up: Span, length: float) -> list[Part]:
    starts = np.arange(0.6, length - 1.5, 2.0).tolist()
    return [(place.flank(half, up, (start, start + 1.5)), _GLASS) for start in starts]


def car(place: Place) -> None:
    """A car of any colour."""
    paint = Surface(tint(place.rng, saturation=(0, 0.9), value=(0.2, 0.95)))
    place.paint(
        "car",
        [
            *_wheels(place, 0.85),
            *place.box((-0.75, 0.75), (0.85, 1.45), (0.3, 3.0), paint),
            (place.face((-0.65, 0.65), (0.95, 1.35), 0.3), _GLASS),
            *place.box((-0.9, 0.9), (0.25, 0.9), (0, 4.2), paint),
            *_lamps(place, 0.85, 0.6),
        ],
    )


def truck(place: Place) -> None:
    """A box of ribbed sheets on a dark chassis."""
    colour = tint(place.rng, saturation=(0, 0.6), value=(0.5, 0.95))
    ribs = Surface(colour, "stripes", 25, max(2.0, 0.3 * place.scale))
    place.paint(
        "truck",
        [
            *_wheels(place, 1.15),
            *place.box((-1.1, 1.1), (0.4, 1.0), (0, 7), _BLACK),
            *place.box((-1.25, 1.25), (0.95, 3.3), (0, 7), ribs),
            *_lamps(place, 1.0, 0.6),
        ],
    )


def bus(place: Place) -> None:
    """A red to yellow bus with many windows."""
    paint = Surface(tint(place.rng, (-0.05, 0.17), (0.75, 1), (0.7, 1)))
    sides, face = place.box((-1.25, 1.25), (0.3, 3.0), (0, 11), paint)
    place.paint(
        "bus",
        [
            *_wheels(place, 1.2),
            sides,
            *_side_windows(place, 1.25, (1.3, 2.4), 11),
            face,
            (place.face((-1.05, 1.05), (1.3, 2.6)), _GLASS),
            *_lamps(place, 1.15, 0.7),
        ],
    )


def train(place: Place) -> None:
    """A tram, white over a coloured band, with a narrow window and no wheels in sight."""
    band = Surface(tint(place.rng, (0.3, 0.9)))
    sides, face = place.box((-1.3, 1.3), (0.1, 3.5), (0, 22), _WHITE)
    place.paint(
        "train",
        [
            sides,
            *_side_windows(place, 1.3, (1.6, 2.7), 22),
            face,
            *place.box((-1.3, 1.3), (0.1, 1.2), (0, 22), band),
            (place.face((-0.6, 0.6), (1.6, 3.0)), _GLASS),
            (place.plate("circle", 0, 0.7, 0.25), _WHITE),
        ],
    )
