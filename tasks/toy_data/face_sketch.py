"""Anti-aliased shapes at places of a head that is turned, tilted and moved in the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np

from .surfaces import Colour

_FINER = 2  # drawn larger by this, each of its pixels smoothed once more by OpenCV
_BITS = 4  # of a pixel, in OpenCV's coordinates
_SEGMENTS = 28  # of a closed curve


@dataclass(frozen=True)
class Pose:
    """Where and how a head is held.

    Attributes:
        x: of its middle, in pixels.
        y: of its middle, in pixels.
        scale: pixels a unit of the head.
        roll: degrees, clockwise.
        yaw: by how many units the tip of the nose is moved to the right.
        pitch: by how many units the tip of the nose is moved down.
    """

    x: float
    y: float
    scale: float
    roll: float
    yaw: float
    pitch: float

    @cached_property
    def _axes(self) -> np.ndarray:
        """Pixels of a unit to the right and of a unit down, of shape (2, 2)."""
        return self.scale * _turn(self.roll)

    def place(self, points: np.ndarray, depth: float) -> np.ndarray:
        """Pixels of points of the head.

        Args:
            points: of shape (points, 2), in units from its middle.
            depth: how much of the motion of the nose they take part in; below 0 for the ears.

        Returns:
            Array of shape (points, 2).
        """
        narrower = 1 - 0.012 * abs(self.yaw)
        moved = points * (narrower, 1) + (depth * self.yaw, depth * self.pitch)
        return moved @ self._axes + (self.x, self.y)


class Sketch:
    """A picture that shapes are drawn on, each over the earlier ones."""

    def __init__(self, background: np.ndarray, size: int, pose: Pose) -> None:
        """Start with a background.

        Args:
            background: uint8 array of shape (height, width, 3), stretched to the picture.
            size: side of the picture, in pixels.
            pose: of the head.
        """
        self._size = size
        self._pixels = cv2.resize(background, (_FINER * size, _FINER * size))
        self._pose = pose

    def _corners(self, points: Sequence | np.ndarray, depth: float) -> np.ndarray:
        placed = self._pose.place(np.asarray(points, float), depth)
        # OpenCV counts from the centre of the first pixel.
        return np.rint((placed * _FINER - 0.5) * 2**_BITS).astype(np.int32)[:, None]

    def fill(self, points: Sequence | np.ndarray, colour: Colour, depth: float = 0.0) -> None:
        """A polygon."""
        cv2.fillPoly(self._pixels, [self._corners(points, depth)], colour, cv2.LINE_AA, _BITS)

    def line(
        self,
        points: Sequence | np.ndarray,
        colour: Colour,
        width: float,
        depth: float = 0.0,
        closed: bool = False,
    ) -> None:
        """A line of some width."""
        corners = self._corners(points, depth)
        thickness = max(1, round(width * self._pose.scale * _FINER))
        cv2.polylines(self._pixels, [corners], closed, colour, thickness, cv2.LINE_AA, _BITS)

    def blend(
        self, points: Sequence | np.ndarray, colour: Colour, share: float, depth: float = 0.0
    ) -> None:
        """A polygon through which one sees what was there."""
        before = self._pixels.copy()
        self.fill(points, colour, depth)
        cv2.addWeighted(self._pixels, share, before, 1 - share, 0, dst=self._pixels)

    def picture(self) -> np.ndarray:
        """The picture; uint8 array of shape (size, size, 3)."""
        return cv2.resize(self._pixels, (self._size, self._size), interpolation=cv2.INTER_AREA)


def oval(
    x: float, y: float, width: float, height: float, tilt: float = 0.0, power: float = 1.0
) -> np.ndarray:
    """Corners of an ellipse around a point.

    Args:
        x: of its middle.
        y: of its middle.
        width: half of it.
        height: half of it.
        tilt: degrees, clockwise.
        power: below 1 nearer to a rectangle, above 1 to a rhombus.

    Returns:
        Array of shape (corners, 2).
    """
    points = _unit_oval(power) * (width, height)
    return (points @ _turn(tilt) if tilt else points) + (x, y)


def curve(
    ends: float, height: float, x: float = 0.0, y: float = 0.0, points: int = 9
) -> np.ndarray:
    """An arc between two points at the same height.

    Args:
        ends: half of their distance.
        height: of the middle over them; negative below.
        x: of the middle.
        y: of the ends.
        points: on the arc.

    Returns:
        Array of shape (points, 2).
    """
    along = np.linspace(-1, 1, points)
    return np.stack([x + ends * along, y - height * (1 - along**2)], axis=1)


@lru_cache
def _unit_oval(power: float) -> np.ndarray:
    angles = np.linspace(0, 2 * math.pi, _SEGMENTS, endpoint=False)
    sides = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.sign(sides) * np.abs(sides) ** power


def _turn(degrees: float) -> np.ndarray:
    """What turns row vectors clockwise, where y points down."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cos, sin], [-sin, cos]])
