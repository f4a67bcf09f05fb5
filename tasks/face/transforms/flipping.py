"""Mirror images of faces."""

from __future__ import annotations

import random
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomFlipFace(BaseTransform):
    """Mirror an image, left for right, now and then.

    Drawn by Python's `random`, which the workers of a loader seed.

    Modified keys: `img`, of shape (height, width, 3), a view.

    Args:
        prob: How often, from 0 to 1.
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"RandomFlipFace has prob={prob}; it is a probability from 0 to 1")
        self.prob = prob

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Mirror the image of one sample, or do not."""
        if random.random() < self.prob:
            results["img"] = results["img"][:, ::-1]
        return results
