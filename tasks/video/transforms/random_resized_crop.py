"""Crops of a random area and aspect ratio."""

from __future__ import annotations

import math
import random
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from .arguments import height_and_width, number_range
from .lazy_clips import Box, LazyClips

_TRIES = 10


@TRANSFORMS.register_module()
class ClipRandomResizedCrop(BaseTransform):
    """Keep a part of all frames, of a random area and aspect ratio, and resize it.

    Szegedy et al., "Going Deeper with Convolutions" (2015), section 6, as torchvision's
    `RandomResizedCrop`: where ten draws do not fit into the frame, the largest central part of an
    aspect ratio in the range is taken.

    Modified keys: `clips`.

    Args:
        size: Height and width of the result in pixels, or the side of a square.
        scale: Lowest and highest share of the area of a frame, drawn uniformly.
        ratio: Lowest and highest width over height, drawn uniformly in the logarithm.
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        self.size = height_and_width("ClipRandomResizedCrop", "size", size)
        self.scale = number_range("ClipRandomResizedCrop", "scale", scale)
        self.ratio = number_range("ClipRandomResizedCrop", "ratio", ratio)
        if self.scale[1] > 1:
            raise ValueError(
                f"ClipRandomResizedCrop has scale={scale!r}; a part is at most the whole frame, 1"
            )

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop and resize the clips of one sample."""
        clips = LazyClips.of(results["clips"])
        box = self._box(*clips.shape[2:4])
        results["clips"] = clips.cropped([box]).resized(*self.size)
        return results

    def _box(self, height: int, width: int) -> Box:
        for _ in range(_TRIES):
            area = height * width * random.uniform(*self.scale)
            ratio = math.exp(random.uniform(*map(math.log, self.ratio)))
            part = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < part[0] <= height and 0 < part[1] <= width:
                place = random.randint(0, height - part[0]), random.randint(0, width - part[1])
                return Box(*place, *part)
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        part = max(1, min(height, round(width / ratio))), max(1, min(width, round(height * ratio)))
        return Box((height - part[0]) // 2, (width - part[1]) // 2, *part)
