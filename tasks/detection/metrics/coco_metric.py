"""COCO's average precision, also of a detector that finds nothing."""

from __future__ import annotations

from typing import Any

from mmdet.evaluation import CocoMetric as ParentCocoMetric

_AP = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")


class CocoMetric(ParentCocoMetric):
    """mmdet's `CocoMetric`, which gives 0 where no image has a detection.

    mmdet gives no figure there. A training that failed would then look like one that was not
    evaluated, and be missing from the mean over its seeds.

    A config names it by its full path, `tasks.detection.metrics.CocoMetric`: the short name is that
    of mmdet's.
    """

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """The figures from the detections of all images, from 0 to 1."""
        found: dict[str, float] = super().compute_metrics(results)
        if self.format_only:
            return found
        kinds = [metric for metric in self.metrics if metric in ("bbox", "segm")]
        keys = [f"{kind}_{item}" for kind in kinds for item in self.metric_items or _AP]
        return dict.fromkeys((key for key in keys if key not in found), 0.0) | found
