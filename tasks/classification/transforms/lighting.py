"""Noise along the principal components of colour."""

from __future__ import annotations

from typing import Any

import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

# Eigenvalues, and eigenvectors as columns, of the colours of ImageNet with channels in [0, 1].
_EIGENVALUES = torch.tensor([0.2175, 0.0188, 0.0045])
_EIGENVECTORS = torch.tensor(
    [
        [-0.5675, 0.7192, 0.4009],
        [-0.5808, -0.0045, -0.8140],
        [-0.5836, -0.6948, 0.4203],
    ]
)


@TRANSFORMS.register_module()
class PCALighting(BaseTransform):
    """Shift the colours of an image along their principal components on ImageNet.

    Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks" (2012),
    section 4.1. The result is rounded to 8 bits, as the image is.

    Modified keys: `img`, uint8 of shape (3, H, W), red first.

    Args:
        std: Standard deviation of the factors on the eigenvalues.
    """

    def __init__(self, std: float = 0.1) -> None:
        self.std = std

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Shift the colours of one sample."""
        shift = 255 * _EIGENVECTORS @ (_EIGENVALUES * torch.normal(0.0, self.std, (3,)))
        image = results["img"].to(torch.int16) + shift.round().to(torch.int16).view(3, 1, 1)
        results["img"] = image.clamp_(0, 255).to(torch.uint8)
        return results
