"""Data sets of videos with classes."""

from .video_dataset import VideoClassDataset

__all__ = ["VideoClassDataset"]
