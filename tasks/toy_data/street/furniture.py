"""What stands on the sidewalk for good."""

from __future__ import annotations

from shapely.ops import unary_union

from ..surfaces import Surface, foliage, tint
from .place import Part, Place

_BLACK = Surface((28, 28, 28))
_UNLIT = Surface((50, 50, 50))
_LIGHTS = ((40, 40, 255), (40, 200, 255), (90, 230, 60))
_RIMS = (Surface((40, 40, 220)), Surface((200, 90, 20)))
_WHITE = Surface((235, 235, 235))
_SHAPES = ("circle", "square", "triangle")
_LEAST_POLE = 2.0  # pixels wide, so that it has pixels of its own


def pole(place: Place, height: float = 6.5) -> None:
    """A bare pole."""
    half = max(0.09, _LEAST_POLE / 2 / place.scale)
    grey = Surface(tint(place.rng, saturation=(0, 0.1), value=(0.35, 0.65)))
    place.paint("pole", [(place.face((-half, half), (0, height)), grey)], seam=False)


def traffic_light(place: Place) -> None:
    """Three lamps of which one is lit, on a pole."""
    pole(place, 4.0)
    parts: list[Part] = [(place.face((-0.35, 0.35), (2.9, 4.5)), _BLACK)]
    lit = place.rng.integers(3)
    for number, colour in enumerate(_LIGHTS):
        lamp = place.plate("circle", 0, 4.2 - 0.5 * number, 0.22)
        parts.append((lamp, Surface(colour) if number == lit else _UNLIT))
    place.paint("traffic light", parts, seam=False)


def traffic_sign(place: Place) -> None:
    """A white sign with a red or blue rim, on a pole."""
    pole(place, 2.4)
    shape = _SHAPES[place.rng.integers(3)]
    rim = _RIMS[place.rng.integers(2)]
    outer, inner = (place.plate(shape, 0, 2.6, radius) for radius in (0.6, 0.32))
    place.paint("traffic sign", [(outer, rim), (inner, _WHITE)], seam=False)


def tree(place: Place) -> None:
    """A tree; its trunk is vegetation too."""
    rng = place.rng
    bark = Surface(tint(rng, (0.05, 0.1), (0.2, 0.5), (0.2, 0.4)))
    crowns = []
    for _ in range(5):
        x, up, radius = rng.uniform((-0.8, 3.5, 0.9), (0.8, 5.5, 1.5))
        crowns.append(place.plate("circle", x, up, radius))
    trunk = place.face((-0.2, 0.2), (0, 3.5))
    place.paint("vegetation", [(trunk, bark), (unary_union(crowns), foliage(rng))], seam=False)


def rubbish_bin(place: Place) -> None:
    """A bin, which belongs to no class."""
    drab = Surface(tint(place.rng, value=(0.2, 0.5)))
    place.paint("static", place.box((-0.35, 0.35), (0, 1.1), (0, 0.6), drab))
