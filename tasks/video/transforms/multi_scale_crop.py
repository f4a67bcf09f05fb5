"""Crops of a few scales at fixed places."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from .arguments import height_and_width, whole_number
from .lazy_clips import Box, LazyClips

_SNAP = 3  # a side that is off by fewer pixels becomes that of the result, and is not resized
_CORNERS_AND_CENTER = ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2))
_EDGES_AND_QUARTERS = ((2, 0), (2, 4), (4, 2), (0, 2), (1, 1), (1, 3), (3, 1), (3, 3))


@TRANSFORMS.register_module()
class ClipMultiScaleCrop(BaseTransform):
    """Keep a part of all frames, whose sides are shares of the short one, and resize it.

    Wang et al., "Temporal Segment Networks" (2016), section 4.1, as `MultiScaleCrop` and `Resize`
    of mmaction2; the defaults are those of its I3D.

    Modified keys: `clips`.

    Args:
        size: Height and width of the result in pixels, or the side of a square.
        scales: Shares of the short side of the frames, the sides of a part.
        max_wh_scale_gap: How many places in `scales` height and width may lie apart; with 0, parts
            are square.
        random_crop: Whether parts may lie everywhere, and not at fixed places only.
        num_fixed_crops: 5, the corners and the centre, or 13, with the middles of the edges and the
            centres of the quarters.
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        scales: Sequence[float] = (1, 0.8),
        max_wh_scale_gap: int = 0,
        random_crop: bool = False,
        num_fixed_crops: int = 5,
    ) -> None:
        self.size = height_and_width("ClipMultiScaleCrop", "size", size)
        if not scales or not all(0 < scale <= 1 for scale in scales):
            raise ValueError(
                f"ClipMultiScaleCrop has scales={scales!r}; they are shares of the short side, "
                "above 0 and at most 1"
            )
        self.scales = tuple(scales)
        self.max_wh_scale_gap = whole_number(
            "ClipMultiScaleCrop", "max_wh_scale_gap", max_wh_scale_gap, 0
        )
        self.random_crop = random_crop
        if num_fixed_crops not in (5, 13):
            raise ValueError(
                f"ClipMultiScaleCrop has num_fixed_crops={num_fixed_crops!r}; it is 5 or 13"
            )
        self.places = _CORNERS_AND_CENTER
        if num_fixed_crops == 13:
            self.places += _EDGES_AND_QUARTERS

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop and resize the clips of one sample."""
        clips = LazyClips.of(results["clips"])
        frame = clips.shape[2:4]
        height, width = self._sides(*frame)
        down, right = frame[0] - height, frame[1] - width
        if self.random_crop:
            top, left = random.randint(0, down), random.randint(0, right)
        else:
            quarters = random.choice(self.places)
            top, left = down // 4 * quarters[0], right // 4 * quarters[1]
        results["clips"] = clips.cropped([Box(top, left, height, width)]).resized(*self.size)
        return results

    def _sides(self, *frame: int) -> list[int]:
        """Height and width of the part."""
        places = range(len(self.scales))
        pairs = [(i, j) for i in places for j in places if abs(i - j) <= self.max_wh_scale_gap]
        sides = [max(1, int(min(frame) * self.scales[place])) for place in random.choice(pairs)]
        return [
            wanted if abs(side - wanted) < _SNAP and wanted <= limit else side
            for side, wanted, limit in zip(sides, self.size, frame, strict=True)
        ]
