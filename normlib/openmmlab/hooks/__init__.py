"""Hooks for mmengine runners, one a file."""

from normlib.openmmlab.hooks.metrics_file import MetricsFileHook
from normlib.openmmlab.hooks.sparse_schedule import SparseScheduleHook

__all__ = ["MetricsFileHook", "SparseScheduleHook"]
