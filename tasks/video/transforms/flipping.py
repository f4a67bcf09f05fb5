"""Mirror images of clips."""

from __future__ import annotations

import random
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from .lazy_clips import LazyClips


@TRANSFORMS.register_module()
class ClipFlip(BaseTransform):
    """Mirror all frames, left for right, now and then.

    Modified keys: `clips`.

    Args:
        prob: How often, from 0 to 1.
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"ClipFlip has prob={prob}; it is a probability from 0 to 1")
        self.prob = prob

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Mirror the clips of one sample, or do not."""
        if random.random() < self.prob:
            results["clips"] = LazyClips.of(results["clips"]).flipped()
        return results
