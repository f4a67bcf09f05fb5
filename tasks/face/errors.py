"""What a config can get wrong about a face model."""

from __future__ import annotations


class ModelError(ValueError):
    """An argument of a model in the config is out of range."""
