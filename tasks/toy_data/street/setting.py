"""An empty street: sky, what lines it, and the ground."""

from __future__ import annotations

import numpy as np
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from ..canvas import Canvas
from ..cityscapes_labels import IDS
from ..shapes import outline
from ..surfaces import Surface, foliage, tint
from .perspective import Perspective

_FRONTS = ("building", "wall", "fence", "vegetation")
_FRONT_SHARES = (0.5, 0.2, 0.18, 0.12)
_WHITE = Surface((215, 215, 215))

# Scales in pixels a metre, in a picture of `_ROWS` rows.
_ROWS = 128
_END = 2.5
_FIRST_FRONT = 30.0
_FIRST_MARK = 40.0
_UNDERFOOT = 200.0


class Setting:
    """A straight street of random widths.

    Attributes:
        canvas: shows the street once `paint` has been called.
        view: how it is seen.
        unit: height of the picture over 128, by which scales are multiplied.
        kerb: where the sidewalk begins, in metres from the middle.
        verge: where the sidewalk ends.
    """

    def __init__(self, rng: np.random.Generator, width: int, height: int) -> None:
        """Choose widths and point of view.

        Args:
            rng: source of every choice.
            width: of the picture, in pixels.
            height: of the picture, in pixels.
        """
        centre, horizon = rng.uniform(0.42, 0.58) * width, rng.uniform(0.38, 0.48) * height
        self.view = Perspective(centre, horizon, 1.1 * height)
        self.canvas = Canvas(rng, width, height, IDS["unlabeled"])
        self.unit = height / _ROWS
        self.kerb = rng.uniform(3.5, 5.0)
        self.verge = self.kerb + rng.uniform(2.0, 3.2)
        self._front = self.verge + rng.uniform(1.5, 4.5)
        self._end = _END * self.unit
        self._rng = rng
        self._frame = box(0, 0, width, height)

    def paint(self) -> None:
        """Paint everything, the farthest first."""
        self._paint_sky()
        self._paint_end()
        for side in (-1, 1):
            self._paint_fronts(side)
        self._paint_ground()

    def _paint(self, region: BaseGeometry, surface: Surface, name: str) -> None:
        self.canvas.paint(region, surface, IDS[name])

    def _paint_sky(self) -> None:
        colour = tint(self._rng, (0.5, 0.7), (0, 0.4), (0.65, 1))
        air = Surface(colour, "blobs", self._rng.uniform(3, 12), 40 * self.unit)
        self._paint(self._frame, air, "sky")

    def _paint_end(self) -> None:
        for left in range(-60, 60, 15):
            name = ("building", "vegetation")[self._rng.integers(2)]
            up = (-20.0, self._rng.uniform(4, 12))  # the ground hides what is below
            self._paint(
                self.view.upright((left, left + 15), up, self._end), self._surface(name), name
            )

    def _surface(self, name: str) -> Surface:
        rng, unit = self._rng, self.unit
        if name == "building":
            colour = tint(rng, saturation=(0.05, 0.4), value=(0.4, 0.9))
            return Surface(colour, "windows", 50, rng.uniform(6, 10) * unit)
        if name == "wall":
            colour = tint(rng, (0.0, 0.12), (0.1, 0.45), (0.4, 0.8))
            return Surface(colour, "bricks", 30, 4 * unit)
        if name == "fence":
            colour = tint(rng, saturation=(0, 0.5), value=(0.3, 0.7))
            return Surface(colour, "stripes", 45, 3.5 * unit)
        return foliage(rng)

    def _paint_fronts(self, side: int) -> None:
        """What lines the street on the left (-1) or right (1); trees look over what is low."""
        rng, view, across = self._rng, self.view, side * self._front
        scales = [_FIRST_FRONT * self.unit]
        while scales[-1] > self._end:
            scales.append(view.behind(scales[-1], rng.uniform(6, 14)))
        for far, near in zip(scales[:0:-1], scales[-2::-1], strict=True):
            name = str(rng.choice(_FRONTS, p=_FRONT_SHARES))
            if name != "building":
                self._paint_crowns(across + side, (near, far))
            high = {"building": rng.uniform(5, 14), "wall": 2.6, "fence": 1.8, "vegetation": 3.0}
            up = (0.0, high[name])
            left, right = sorted((across, across + 12 * side))
            block = view.upright((left, right), up, near).union(view.along(across, up, (near, far)))
            self._paint(block, self._surface(name), name)

    def _paint_crowns(self, across: float, scales: tuple[float, float]) -> None:
        crowns = [
            outline(
                "circle", self.view.point(across, self._rng.uniform(2, 4), scale), 2 * scale, 1, 0
            )
            for scale in np.linspace(scales[1], scales[0], 4)
        ]
        self._paint(unary_union(crowns), foliage(self._rng), "vegetation")

    def _paint_ground(self) -> None:
        rng, view = self._rng, self.view
        dry = tint(rng, (0.12, 0.3), (0.3, 0.7), (0.4, 0.7))
        pale = tint(rng, (0.0, 0.12), (0.02, 0.2), (0.5, 0.75))
        grey = tint(rng, saturation=(0, 0.12), value=(0.3, 0.5))
        for name, reach, surface in (
            ("terrain", self._front, Surface(dry, "grain", 22)),
            ("sidewalk", self.verge, Surface(pale, "bricks", 14, 4 * self.unit)),
            ("road", self.kerb, Surface(grey, "grain", 10)),
        ):
            strip = view.ground((-reach, reach), (_UNDERFOOT * self.unit, self._end))
            self._paint(strip, surface, name)
        near = _FIRST_MARK * self.unit
        while near > 1.5 * self._end:
            far = view.behind(near, 2.5)
            self._paint(view.ground((-0.1, 0.1), (near, far)), _WHITE, "road")
            near = view.behind(far, 3.5)
