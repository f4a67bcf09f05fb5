"""Hooks for mmengine runners, one a file."""

from normlib.openmmlab.hooks.batch_average import BatchAverageHook
from normlib.openmmlab.hooks.checkpoint import SafeCheckpointHook
from normlib.openmmlab.hooks.harden import HardenHook
from normlib.openmmlab.hooks.metrics_file import MetricsFileHook
from normlib.openmmlab.hooks.non_finite_loss import NonFiniteLossHook
from normlib.openmmlab.hooks.pictures import PictureHook
from normlib.openmmlab.hooks.ratio_recorder import RatioRecorderHook
from normlib.openmmlab.hooks.skipped_samples import SkippedSamplesHook
from normlib.openmmlab.hooks.sparse_schedule import SparseScheduleHook
from normlib.openmmlab.hooks.stop_signal import StopSignalHook
from normlib.openmmlab.hooks.sync_statistics import SyncStatisticsHook

__all__ = [
    "BatchAverageHook",
    "HardenHook",
    "MetricsFileHook",
    "NonFiniteLossHook",
    "PictureHook",
    "RatioRecorderHook",
    "SafeCheckpointHook",
    "SkippedSamplesHook",
    "SparseScheduleHook",
    "StopSignalHook",
    "SyncStatisticsHook",
]
