"""Data sets of images with classes."""

from .image_dataset import ImageClassDataset

__all__ = ["ImageClassDataset"]
