"""A picture and its label map, painted together."""

from __future__ import annotations

import math

import cv2
import numpy as np
from shapely import transform
from shapely.geometry.base import BaseGeometry

from .scene import coverage, polygons
from .surfaces import Surface, fill

_GAIN = (0.75, 1.15)  # of the light, all channels alike
_CAST = 0.06  # standard deviation of the light, channel by channel
_NOISE = 6.0  # standard deviation, of 255


class Canvas:
    """What has been painted so far; a later region hides earlier ones.

    A pixel has the label of the topmost region that covers at least half of it, whereas the
    picture mixes the colours on the outline.

    Attributes:
        labels: uint8 array of shape (height, width).
    """

    def __init__(self, rng: np.random.Generator, width: int, height: int, label: int = 0) -> None:
        """Start with a black picture.

        Args:
            rng: source of textures and noise.
            width: in pixels.
            height: in pixels.
            label: of all pixels until they are painted.
        """
        self._rng = rng
        self._pixels = np.zeros((height, width, 3))
        self.labels = np.full((height, width), label, np.uint8)

    def _window(self, region: BaseGeometry, margin: int) -> tuple[slice, slice]:
        """Rows and columns that a region touches, with a margin; empty outside the picture."""
        height, width = self.labels.shape
        left, top, right, bottom = region.bounds
        return (
            slice(
                max(0, math.floor(top) - margin), max(0, min(height, math.ceil(bottom) + margin))
            ),
            slice(max(0, math.floor(left) - margin), max(0, min(width, math.ceil(right) + margin))),
        )

    def _share(self, region: BaseGeometry, window: tuple[slice, slice]) -> np.ndarray:
        rows, columns = window
        moved = transform(region, lambda corners: corners - (columns.start, rows.start))
        return coverage(moved, columns.stop - columns.start, rows.stop - rows.start)

    def paint(self, region: BaseGeometry, surface: Surface, label: int) -> None:
        """Paint a region over what is there, without slivers and what is outside the picture."""
        if not polygons(region):
            return
        window = self._window(region, 0)
        part = self._pixels[window]
        if not part.size:
            return
        share = self._share(region, window)
        height, width = share.shape
        part += share[:, :, None] * (fill(self._rng, surface, width, height) - part)
        self.labels[window][share >= 0.5] = label

    def surround(self, region: BaseGeometry, label: int) -> None:
        """Label a region and the pixels that touch it, without a change of the picture."""
        if not polygons(region):
            return
        window = self._window(region, 1)
        if self.labels[window].size:
            inside = (self._share(region, window) >= 0.5).astype(np.uint8)
            self.labels[window][cv2.dilate(inside, np.ones((3, 3), np.uint8)) > 0] = label

    def picture(self) -> np.ndarray:
        """The picture under a random light and with noise.

        Returns:
            uint8 array of shape (height, width, 3), channels blue, green, red.
        """
        light = self._rng.uniform(*_GAIN) * self._rng.normal(1, _CAST, 3)
        noise = self._rng.normal(0, _NOISE, self._pixels.shape)
        return (self._pixels * light + noise).clip(0, 255).astype(np.uint8)
