"""A detector of two stages as a function of images, whose heads get the same work every time."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn


class TwoStage(nn.Module):
    """Backbone, neck, region proposals, and the heads of the second stage on boxes that are given.

    The proposals are made, and then left: how many there are depends on the weights, and the
    networks that are compared have different ones. The boxes in their place are drawn once, and as
    many as the detector lets through for an image. What becomes of the heads' outputs is left out.

    Args:
        detector: Of mmdet, with an ``rpn_head`` and a ``roi_head``.
        size: Height and width of the images.
    """

    detector: Any
    boxes: Tensor

    def __init__(self, detector: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.detector = detector
        self.size = size
        self.register_buffer("boxes", _boxes(self.detector.test_cfg.rpn.max_per_img, size))

    def forward(self, input: Tensor) -> tuple[Any, Any]:
        """What the first and the second stage return for images of shape (N, 3, H, W)."""
        maps = self.detector.extract_feat(input)
        first = self.detector.rpn_head(maps)
        metas = [dict(img_shape=self.size, scale_factor=(1.0, 1.0)) for _ in input]
        self.detector.rpn_head.predict_by_feat(*first, batch_img_metas=metas)
        boxes = [InstanceData(bboxes=self.boxes.to(maps[0].dtype)) for _ in input]
        return first, self.detector.roi_head(maps, boxes)


def is_two_stage(model: nn.Module) -> bool:
    """Whether :class:`TwoStage` is for this model."""
    return bool(getattr(model, "with_rpn", False) and getattr(model, "with_roi_head", False))


def _boxes(count: int, size: tuple[int, int]) -> Tensor:
    """Boxes of all sizes, as left, top, right and bottom."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(count, 2, 2, generator=generator).sort(1).values
    height, width = size
    return (corners * torch.tensor([width, height])).flatten(1)
