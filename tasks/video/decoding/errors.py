"""The error of one video."""

from __future__ import annotations

from tasks.data_checks import DatasetError


class VideoError(DatasetError):
    """One video cannot be decoded; the message names its path."""
