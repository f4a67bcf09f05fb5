"""Losses of face recognition: margins, and the softmax over classes that ranks share."""

from .margins import ArcFace, CombinedMargin, CosFace
from .reference import margin_softmax_loss
from .sharded_softmax import ShardedMarginSoftmax, all_gather

__all__ = [
    "ArcFace",
    "CombinedMargin",
    "CosFace",
    "ShardedMarginSoftmax",
    "all_gather",
    "margin_softmax_loss",
]
