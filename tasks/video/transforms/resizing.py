"""Resizing of clips."""

from __future__ import annotations

import random
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from .arguments import height_and_width, whole_number
from .lazy_clips import LazyClips


@TRANSFORMS.register_module()
class ClipRandomShortSide(BaseTransform):
    """Resize clips to a short side at random, with their aspect ratio.

    The jitter of scales of the non-local networks and of SlowFast: the side is drawn uniformly from
    the whole numbers between two, both included, and is the same for all frames.

    Modified keys: `clips`.

    Args:
        low: The shortest side, in pixels.
        high: The longest.
    """

    def __init__(self, low: int = 256, high: int = 320) -> None:
        self.low = whole_number("ClipRandomShortSide", "low", low)
        self.high = whole_number("ClipRandomShortSide", "high", high, low)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize the clips of one sample."""
        return _resized_to_short_side(results, random.randint(self.low, self.high))


@TRANSFORMS.register_module()
class ClipResize(BaseTransform):
    """Resize clips to a short side, with their aspect ratio, or to a size.

    Modified keys: `clips`.

    Args:
        short_side: In pixels.
        size: Height and width in pixels, or the side of a square; instead of the short side.
    """

    def __init__(
        self, short_side: int | None = None, size: int | tuple[int, int] | None = None
    ) -> None:
        if (short_side is None) == (size is None):
            raise ValueError(
                f"ClipResize has short_side={short_side!r} and size={size!r}; it takes one of them"
            )
        self.short_side, self.size = short_side, None
        if short_side is not None:
            whole_number("ClipResize", "short_side", short_side)
        else:
            self.size = height_and_width("ClipResize", "size", size)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize the clips of one sample."""
        if self.short_side is not None:
            return _resized_to_short_side(results, self.short_side)
        assert self.size is not None
        results["clips"] = LazyClips.of(results["clips"]).resized(*self.size)
        return results


def _resized_to_short_side(results: dict[str, Any], side: int) -> dict[str, Any]:
    clips = LazyClips.of(results["clips"])
    height, width = clips.shape[2:4]
    scale = side / min(height, width)
    results["clips"] = clips.resized(int(height * scale + 0.5), int(width * scale + 0.5))
    return results
