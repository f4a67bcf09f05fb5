"""Segmentation transforms."""

from .blur import RandomGaussianBlur
from .loading import LoadSegLabelChecked
from .resize import ResizeShortSide

__all__ = ["LoadSegLabelChecked", "RandomGaussianBlur", "ResizeShortSide"]
