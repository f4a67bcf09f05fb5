"""Outlines of the shapes which serve as categories."""

from __future__ import annotations

import math

from shapely.affinity import rotate, scale, translate
from shapely.geometry import Polygon

SHAPES = ("circle", "square", "triangle", "cross")

_CIRCLE_CORNERS = 32
_CROSS_ARM = 0.36


def _regular(corners: int, phase: float = 0.0) -> Polygon:
    angles = [2 * math.pi * k / corners + phase for k in range(corners)]
    return Polygon([(math.cos(angle), math.sin(angle)) for angle in angles])


def _cross() -> Polygon:
    arm = _CROSS_ARM
    quarter = [(1.0, -arm), (1.0, arm), (arm, arm)]
    corners = []
    for _ in range(4):
        corners += quarter
        quarter = [(-y, x) for x, y in quarter]
    return Polygon(corners)


_UNIT = {
    "circle": _regular(_CIRCLE_CORNERS),
    "square": _regular(4, math.pi / 4),
    "triangle": _regular(3, -math.pi / 2),
    "cross": _cross(),
}


def outline(
    shape: str, centre: tuple[float, float], radius: float, stretch: float, angle: float
) -> Polygon:
    """The outline of one shape.

    Args:
        shape: one of `SHAPES`.
        centre: (x, y) in pixels.
        radius: circumscribed radius in pixels, before stretching.
        stretch: width over height.
        angle: rotation in degrees.
    """
    root = math.sqrt(stretch)
    sized = scale(_UNIT[shape], radius * root, radius / root, origin=(0, 0))
    return translate(rotate(sized, angle, origin=(0, 0)), *centre)
