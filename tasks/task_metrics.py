"""The metrics that tables show, by task: their titles, and where metrics.json holds them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TaskMetric:
    """A figure of an evaluation, in per cent and better where it is higher.

    Attributes:
        title: As metafiles and tables name it.
        key: Of `metrics` in metrics.json.
        factor: That makes it per cent.
    """

    title: str
    key: str
    factor: float = 1.0

    def value(self, metrics: Mapping[str, Any]) -> float | None:
        """The figure in per cent; None where the evaluation has none."""
        found = metrics.get(self.key)
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            return None
        return self.factor * found if math.isfinite(found) else None


@dataclass(frozen=True)
class AccuracyOfOtherSets(TaskMetric):
    """The accuracy on sets of face pairs that have no metric of their own, or its mean over them.

    Attributes:
        key: How the keys of all sets end.
        known: The metrics in whose presence this one says nothing.
    """

    known: tuple[TaskMetric, ...] = ()

    def value(self, metrics: Mapping[str, Any]) -> float | None:
        """The figure in per cent; None where the evaluation has none, or one that is known."""
        if any(metric.key in metrics for metric in self.known):
            return None
        sets = (TaskMetric(self.title, key) for key in metrics if key.endswith(self.key))
        values = [value for found in sets if (value := found.value(metrics)) is not None]
        return self.factor * statistics.fmean(values) if values else None


TOP1 = TaskMetric("top-1", "accuracy/top1")
TOP5 = TaskMetric("top-5", "accuracy/top5")
FACE_SETS = (
    TaskMetric("mean accuracy", "mean/accuracy"),
    TaskMetric("LFW accuracy", "lfw/accuracy"),
    TaskMetric("CFP-FP accuracy", "cfp_fp/accuracy"),
    TaskMetric("AgeDB-30 accuracy", "agedb_30/accuracy"),
)
# The first that a run has is the task's main one.
TASK_METRICS: dict[str, tuple[TaskMetric, ...]] = {
    "classification": (TOP1, TOP5),
    "detection": (
        TaskMetric("box AP", "coco/bbox_mAP", 100),
        TaskMetric("mask AP", "coco/segm_mAP", 100),
    ),
    "segmentation": (TaskMetric("mIoU", "mIoU"), TaskMetric("multi-scale mIoU", "tta/mIoU")),
    "face": (*FACE_SETS, AccuracyOfOtherSets("accuracy", "/accuracy", known=FACE_SETS)),
    "video": (TOP1, TOP5),
}
# What an evaluation counts.
SAMPLES = {
    "classification": "images",
    "detection": "images",
    "segmentation": "images",
    "face": "images",
    "video": "videos",
}
