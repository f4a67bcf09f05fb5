"""Intersection over union, with the figures of every class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS


class MetricError(ValueError):
    """What is to be measured cannot be."""


@METRICS.register_module()
class SegIoUMetric(IoUMetric):
    """mmseg's `IoUMetric`, which keeps what it measured of every class.

    The figures (mIoU, mAcc and aAcc, in per cent) are those of `IoUMetric`.

    Attributes:
        details: Of the last evaluation, in the main process: `per_class`, the IoU and Acc of every
            class in per cent by its name, None where a figure is not defined because the class
            does not occur, and `images`, their number. Empty before, and with `format_only`.

    Args:
        **kwargs: As for `IoUMetric`.

    Raises:
        MetricError: There are no images, or a prediction has another size than its label.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.details: dict[str, Any] = {}

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Count the pixels of a batch."""
        for sample in () if self.format_only else data_samples:
            predicted, label = (
                sample[key]["data"].shape[-2:] for key in ("pred_sem_seg", "gt_sem_seg")
            )
            if predicted != label:
                raise MetricError(
                    f"{sample.get('img_path')}: the prediction is {predicted[1]} x {predicted[0]}, "
                    f"the label {label[1]} x {label[0]}; predictions are resized to the size of "
                    "the image, and labels are loaded after Resize in the pipeline of the test"
                )
        super().process(data_batch, data_samples)

    def evaluate(self, size: int) -> dict[str, float]:
        """The figures over all processes, see mmengine's `BaseMetric`."""
        if size < 1:  # known to every process, so that none waits for another
            raise MetricError("there is no image to evaluate; is the validation set empty?")
        return super().evaluate(size)

    def compute_metrics(self, results: list[tuple[torch.Tensor, ...]]) -> dict[str, float]:
        """The figures from the counts of all images."""
        self.details = {}
        metrics = super().compute_metrics(results)
        if not self.format_only:
            self.details = {"per_class": self._per_class(results), "images": len(results)}
        return metrics

    def _per_class(
        self, results: list[tuple[torch.Tensor, ...]]
    ) -> dict[str, dict[str, float | None]]:
        intersect, union, _, label = (
            torch.stack(counts).double().sum(0) for counts in zip(*results, strict=True)
        )
        shares = {"IoU": 100 * intersect / union, "Acc": 100 * intersect / label}
        return {
            name: {
                key: None if math.isnan(share[index]) else share[index].item()
                for key, share in shares.items()
            }
            for index, name in enumerate(self.dataset_meta["classes"])
        }
