"""What a camera above a flat ground sees."""

from __future__ import annotations

from dataclasses import dataclass

from shapely.geometry import MultiPoint, Polygon, box
from shapely.geometry.base import BaseGeometry

_CAMERA_HEIGHT = 1.4  # metres above the ground


@dataclass(frozen=True)
class Perspective:
    """A camera that looks along a straight street.

    Distances from the camera are told by the scale there, in pixels a metre. `across` is in metres
    to the right of the camera, `up` in metres above the ground.

    Attributes:
        centre: column where the street vanishes, in pixels.
        horizon: row where the ground vanishes, in pixels.
        focal: focal length in pixels.
    """

    centre: float
    horizon: float
    focal: float

    def point(self, across: float, up: float, scale: float) -> tuple[float, float]:
        """Where a point is seen, (x, y) in pixels."""
        return self.centre + across * scale, self.horizon + (_CAMERA_HEIGHT - up) * scale

    def behind(self, scale: float, metres: float) -> float:
        """The scale some metres farther away."""
        return self.focal / (self.focal / scale + metres)

    def upright(
        self, across: tuple[float, float], up: tuple[float, float], scale: float
    ) -> Polygon:
        """A rectangle that faces the camera."""
        left, bottom = self.point(across[0], up[0], scale)
        right, top = self.point(across[1], up[1], scale)
        return box(left, top, right, bottom)

    def along(self, across: float, up: tuple[float, float], scales: tuple[float, float]) -> Polygon:
        """An upright rectangle parallel to the street, from one distance to another."""
        near, far = scales
        return Polygon(
            [self.point(across, up[0], near), self.point(across, up[0], far),
             self.point(across, up[1], far), self.point(across, up[1], near)]
        )  # fmt: skip

    def ground(self, across: tuple[float, float], scales: tuple[float, float]) -> Polygon:
        """A strip of the ground parallel to the street, from one distance to another."""
        near, far = scales
        return Polygon(
            [self.point(across[0], 0, near), self.point(across[1], 0, near),
             self.point(across[1], 0, far), self.point(across[0], 0, far)]
        )  # fmt: skip

    def block(
        self, across: tuple[float, float], up: tuple[float, float], scales: tuple[float, float]
    ) -> BaseGeometry:
        """The outline of a box, from one distance to another."""
        corners = [
            self.point(side, height, scale) for side in across for height in up for scale in scales
        ]
        return MultiPoint(corners).convex_hull
