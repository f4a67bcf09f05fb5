"""Changes of colour."""

from __future__ import annotations

import math
import random
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

# Luma and the two colour differences of NTSC, from red, green and blue.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])

Range = float | tuple[float, float]


@TRANSFORMS.register_module()
class ClipColorJitter(BaseTransform):
    """Change brightness, contrast, saturation and hue of clips.

    Every clip has factors of its own, which hold for all its frames. The changes are those of
    torchvision's `ColorJitter` with two exceptions: contrast is stretched about the mean luma of
    the clip, and not of each frame, and hue is turned in the plane of colour differences (YIQ),
    which leaves luma and greys alone, and not in HSV. So they are one affine map of colours, on
    which their order has no influence; its results are rounded and cut off at 0 and 255 once.

    Modified keys: `clips`.

    Args:
        brightness: A range of factors, or `b` for those from `max(0, 1 - b)` to `1 + b`.
        contrast: Likewise.
        saturation: Likewise.
        hue: A range of turns from -0.5 to 0.5, or `h` for those from `-h` to `h`.
    """

    def __init__(
        self,
        brightness: Range = 0.0,
        contrast: Range = 0.0,
        saturation: Range = 0.0,
        hue: Range = 0.0,
    ) -> None:
        self.brightness = _ends("brightness", brightness, 1, (0, math.inf))
        self.contrast = _ends("contrast", contrast, 1, (0, math.inf))
        self.saturation = _ends("saturation", saturation, 1, (0, math.inf))
        self.hue = _ends("hue", hue, 0, (-0.5, 0.5))

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change the colours of one sample."""
        clips = np.asarray(results["clips"])
        changed = np.empty(clips.shape, np.uint8)
        for clip, target in zip(clips, changed, strict=True):
            matrix = self._draw(np.mean([cv2.mean(frame)[:3] for frame in clip], 0))
            for frame, place in zip(clip, target, strict=True):
                cv2.transform(frame, matrix, place)
        results["clips"] = changed
        return results

    def _draw(self, mean: np.ndarray) -> np.ndarray:
        """A map of colours.

        Args:
            mean: Colour of the clip, of shape (3,).

        Returns:
            A matrix of shape (3, 4), whose last column is added.
        """
        brightness = random.uniform(*self.brightness)
        contrast = random.uniform(*self.contrast)
        saturation = random.uniform(*self.saturation)
        turn = 2 * math.pi * random.uniform(*self.hue)
        cos, sin = saturation * math.cos(turn), saturation * math.sin(turn)
        change = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
        matrix = brightness * contrast * np.linalg.inv(_YIQ) @ change @ _YIQ
        shift = brightness * (1 - contrast) * (_YIQ[0] @ mean)
        return np.column_stack([matrix, np.full(3, shift)])


def _ends(
    name: str, value: Range, neutral: float, limits: tuple[float, float]
) -> tuple[float, float]:
    if isinstance(value, (list, tuple)):
        ends = tuple(value)
    else:
        ends = max(neutral - value, limits[0]) if value >= 0 else math.nan, neutral + value
    if len(ends) != 2 or not limits[0] <= ends[0] <= ends[1] <= limits[1]:
        raise ValueError(
            f"ClipColorJitter has {name}={value!r}; it is a number from 0 on, or (low, high) from "
            f"{limits[0]} to {limits[1]}"
        )
    return ends
