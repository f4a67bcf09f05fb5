"""Errors that are the user's to mend: their text is all that a command prints."""

from __future__ import annotations


class ConfigError(ValueError):
    """A config, a command-line option or the launch environment asks for what cannot be done."""


class CheckpointError(ValueError):
    """A checkpoint is missing, incomplete, unsafe or does not fit the model."""


class TrainingError(RuntimeError):
    """A training cannot go on with the weights and settings that it has."""


class TrainingInterrupted(RuntimeError):
    """A training was asked to end, and has saved all that it takes to go on."""
