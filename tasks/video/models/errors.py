"""What a config can get wrong about a video model."""

from __future__ import annotations


class ModelError(ValueError):
    """An argument of a model in the config is out of range, or does not fit the clips."""
