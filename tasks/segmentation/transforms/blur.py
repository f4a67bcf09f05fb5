"""Blurring as semseg does."""

from __future__ import annotations

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomGaussianBlur(BaseTransform):
    """Blur some of the images, as semseg's augmentation for Cityscapes.

    Modified keys: `img`.

    Args:
        prob: Share of the images, 0 to 1.
        kernel: Side of the kernel in pixels, odd; its standard deviation is that of OpenCV.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self, prob: float = 0.5, kernel: int = 5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"RandomGaussianBlur: prob is {prob}; it is a share from 0 to 1")
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"RandomGaussianBlur: kernel is {kernel}; it is odd and at least 1")
        self.prob = prob
        self.kernel = kernel

    @cache_randomness
    def _blurs(self) -> bool:
        return bool(np.random.rand() < self.prob)  # noqa: NPY002  mmengine seeds this generator

    def transform(self, results: dict) -> dict:
        """Blur the image of one sample, or not."""
        if self._blurs():
            results["img"] = cv2.GaussianBlur(results["img"], (self.kernel, self.kernel), 0)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(prob={self.prob}, kernel={self.kernel})"
