"""Parts of clips of a fixed size."""

from __future__ import annotations

import random
from abc import abstractmethod
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from tasks.data_checks import DatasetError

from .arguments import height_and_width
from .lazy_clips import Box, LazyClips


class _Crop(BaseTransform):
    """Keeps parts of `size`, at places in the range that is left of height and width."""

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = height_and_width(type(self).__name__, "size", size)

    @abstractmethod
    def _places(self, down: int, right: int) -> list[tuple[int, int]]:
        """Top and left of the parts, at most `down` and `right`."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop the clips of one sample.

        Raises:
            DatasetError: The frames are smaller than the crop.
        """
        clips = LazyClips.of(results["clips"])
        height, width = clips.shape[2:4]
        down, right = height - self.size[0], width - self.size[1]
        if down < 0 or right < 0:
            raise DatasetError(
                f"{results.get('video_path')}: the frames are {width} x {height} when they come to "
                f"{type(self).__name__}, which keeps {self.size[1]} x {self.size[0]} of them; "
                "resize them first, with ClipResize or ClipRandomShortSide"
            )
        boxes = [Box(top, left, *self.size) for top, left in self._places(down, right)]
        results["clips"] = clips.cropped(boxes)
        return results


@TRANSFORMS.register_module()
class ClipRandomCrop(_Crop):
    """Keep a part of all frames, at a place drawn uniformly, the same for all of them.

    Modified keys: `clips`.

    Args:
        size: Height and width in pixels, or the side of a square.

    Raises:
        DatasetError: The frames are smaller. The message names the video.
    """

    def _places(self, down: int, right: int) -> list[tuple[int, int]]:
        return [(random.randint(0, down), random.randint(0, right))]


@TRANSFORMS.register_module()
class ClipCenterCrop(_Crop):
    """Keep the middle of all frames.

    Modified keys: `clips`.

    Args:
        size: Height and width in pixels, or the side of a square.

    Raises:
        DatasetError: The frames are smaller. The message names the video.
    """

    def _places(self, down: int, right: int) -> list[tuple[int, int]]:
        return [(down // 2, right // 2)]


@TRANSFORMS.register_module()
class ClipThreeCrop(_Crop):
    """Keep three parts of all frames: both ends and the middle of the side that has more to spare.

    That is left, middle and right of wide frames, top, middle and bottom of high ones; across it
    the parts lie in the middle. Frames whose short side is that of the crop are covered as in the
    tests of non-local networks and SlowFast.

    Modified keys: `clips`, whose views are then (clip 0, part 0), (clip 0, part 1) and so on, three
    times as many.

    Args:
        size: Height and width in pixels, or the side of a square.

    Raises:
        DatasetError: The frames are smaller. The message names the video.
    """

    def _places(self, down: int, right: int) -> list[tuple[int, int]]:
        if down > right:
            return [(top, right // 2) for top in (0, down // 2, down)]
        return [(down // 2, left) for left in (0, right // 2, right)]
