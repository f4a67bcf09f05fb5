"""Measures of segmentation."""

from .seg_iou import SegIoUMetric

__all__ = ["SegIoUMetric"]
