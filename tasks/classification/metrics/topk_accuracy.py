"""Top-k accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from tasks.class_ranks import class_places, read_topk


@METRICS.register_module()
class TopKAccuracy(BaseMetric):
    """Share of images, in per cent, whose class is among the k highest scores.

    A class counts as better than another only if its score is strictly higher, so that equal
    scores, such as those of an untrained model, do not count as right.

    Args:
        topk: The k to report, as `accuracy/top1` and so on.
        **kwargs: Arguments of mmengine's `BaseMetric`.
    """

    default_prefix = "accuracy"

    def __init__(self, topk: Sequence[int] = (1, 5), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.topk = read_topk("TopKAccuracy", topk)

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Take note of the place of the right class, 0 the best, for every image."""
        scores = torch.stack([sample["scores"] for sample in data_samples])
        labels = torch.stack([sample["label"] for sample in data_samples])
        self.results += class_places(scores, labels).tolist()

    def compute_metrics(self, results: list[int]) -> dict[str, float]:
        """Shares in per cent."""
        places = torch.tensor(results)
        return {f"top{k}": 100 * (places < k).double().mean().item() for k in self.topk}
