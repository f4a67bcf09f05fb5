"""What comes into one batch."""

from .same_shape import SameShapeBatchSampler
from .short_side import ShortSideDataset

__all__ = ["SameShapeBatchSampler", "ShortSideDataset"]
