"""Measures of video classifiers."""

from .video_accuracy import VideoAccuracy

__all__ = ["VideoAccuracy"]
