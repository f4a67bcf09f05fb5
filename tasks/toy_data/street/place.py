"""A place in a street, where one thing is painted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from shapely.geometry import LineString, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from ..canvas import Canvas
from ..cityscapes_labels import IDS
from ..shapes import outline
from ..surfaces import BLACK, Surface, mixed
from .perspective import Perspective

Part = tuple[BaseGeometry, Surface]
Span = tuple[float, float]

_THINNEST = 1.2  # pixels


def shaded(surface: Surface) -> Surface:
    """A plain surface of the same colour, in the shade."""
    return Surface(mixed(surface.colour, BLACK, 0.3))


@dataclass(frozen=True)
class Place:
    """Where one thing stands; its parts are given in metres to the right of it and above it.

    Attributes:
        canvas: shows the street.
        rng: source of every choice.
        view: how the street is seen.
        across: metres to the right of the camera.
        scale: pixels a metre.
    """

    canvas: Canvas
    rng: np.random.Generator
    view: Perspective
    across: float
    scale: float

    def paint(self, name: str, parts: list[Part], seam: bool = True) -> None:
        """Paint parts over each other.

        Args:
            name: of their label, one of `IDS`.
            parts: regions in pixels, the undermost first.
            seam: leave the pixels around the thing unlabeled, as annotators do.
        """
        if seam:
            self.canvas.surround(unary_union([region for region, _ in parts]), IDS["unlabeled"])
        for region, surface in parts:
            self.canvas.paint(region, surface, IDS[name])

    def behind(self, metres: float) -> float:
        """The scale some metres farther away."""
        return self.view.behind(self.scale, metres)

    def _spot(self, x: float, up: float) -> tuple[float, float]:
        return self.view.point(self.across + x, up, self.scale)

    def _sides(self, x: Span) -> Span:
        return self.across + x[0], self.across + x[1]

    def polygon(self, corners: list[tuple[float, float]]) -> Polygon:
        """The polygon through corners (x, up)."""
        return Polygon([self._spot(*corner) for corner in corners])

    def plate(self, shape: str, x: float, up: float, radius: float) -> Polygon:
        """One of `SHAPES`."""
        return outline(shape, self._spot(x, up), radius * self.scale, 1, 0)

    def line(self, width: float, points: list[tuple[float, float]]) -> BaseGeometry:
        """A line through points (x, up), not thinner than can be seen."""
        wide = max(width * self.scale, _THINNEST)
        return LineString([self._spot(*point) for point in points]).buffer(
            wide / 2, cap_style="flat"
        )

    def face(self, x: Span, up: Span, behind: float = 0.0) -> Polygon:
        """A rectangle that faces the camera, some metres behind the place."""
        return self.view.upright(self._sides(x), up, self.behind(behind))

    def box(self, x: Span, up: Span, depth: Span, surface: Surface) -> list[Part]:
        """The shaded sides of a box between two distances behind the place, and its face."""
        scales = self.behind(depth[0]), self.behind(depth[1])
        sides = self.view.block(self._sides(x), up, scales)
        return [(sides, shaded(surface)), (self.face(x, up, depth[0]), surface)]

    def flank(self, half: float, up: Span, depth: Span) -> Polygon:
        """A rectangle on that side of a box, as wide as two halves, which can be seen."""
        side = self.across + (half if self.across < 0 else -half)
        return self.view.along(side, up, (self.behind(depth[0]), self.behind(depth[1])))
