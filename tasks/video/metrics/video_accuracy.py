"""Accuracy over videos."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS

from tasks.class_ranks import MetricError, class_places, read_topk
from tasks.video.evaluation.confusion import NO_CLASS, Confusion, write_confusion_table
from tasks.video.evaluation.confusion_plot import plot_confusion
from tasks.video.unreadable import UNREADABLE


@METRICS.register_module()
class VideoAccuracy(BaseMetric):
    """Share of videos, in per cent, whose class is among the k highest scores.

    Reported are, besides `accuracy/top1` and so on, `accuracy/mean_class_accuracy`, the mean over
    the classes that occur of the share of their videos with the right class first;
    `accuracy/videos`, the number that these figures stand on; and, where there are any,
    `accuracy/unreadable_videos`, those with the label -1, which are left out.

    A class counts as better than another only if its score is strictly higher, so that equal
    scores, such as those of an untrained model, do not count as right.

    Args:
        topk: The k to report.
        out_dir: Folder for `confusion.png`, a picture, and `confusion.csv`, how often which class
            was taken for which; none is written without.
        **kwargs: Arguments of mmengine's `BaseMetric`.

    Raises:
        MetricError: There is no video, or none that could be read.
    """

    default_prefix = "accuracy"

    def __init__(
        self, topk: Sequence[int] = (1, 5), out_dir: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.topk = read_topk("VideoAccuracy", topk)
        self.out_dir = out_dir
        self._classes = 0

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Take note of the class of every video, of its place and of the class that was found."""
        scores = torch.stack([sample["scores"] for sample in data_samples])
        labels = torch.stack([sample["label"] for sample in data_samples])
        self._classes = scores.shape[1]
        places = class_places(scores, labels.clamp(min=0))
        highest = scores.max(1)
        alone = (scores >= highest.values[:, None]).sum(1) == 1
        found = highest.indices.where(alone & scores.isfinite().all(1), NO_CLASS)
        self.results += torch.stack([labels, places, found], 1).tolist()

    def evaluate(self, size: int) -> dict[str, float]:
        """The figures over all processes, see mmengine's `BaseMetric`."""
        if size < 1:  # known to every process, so that none waits for another
            raise MetricError("there is no video to evaluate; is the validation set empty?")
        return super().evaluate(size)

    def compute_metrics(self, results: list[list[int]]) -> dict[str, float]:
        """Shares in per cent, and numbers of videos."""
        labels, places, found = np.array(results).reshape(-1, 3).T
        readable = labels != UNREADABLE
        count, unreadable = int(readable.sum()), int((~readable).sum())
        if not count:
            raise MetricError(
                f"none of the {unreadable:,} videos could be read; tools/check_data.py says why"
            )
        labels, places, found = labels[readable], places[readable], found[readable]
        metrics: dict[str, float] = {f"top{k}": 100 * float(np.mean(places < k)) for k in self.topk}
        videos = np.bincount(labels)
        right = np.bincount(labels, places == 0)
        occur = videos > 0
        metrics["mean_class_accuracy"] = 100 * float(np.mean(right[occur] / videos[occur]))
        metrics["videos"] = count
        if unreadable:
            metrics["unreadable_videos"] = unreadable
        self._tell(count, unreadable)
        if self.out_dir is not None:
            self._write(labels, found, Path(self.out_dir))
        return metrics

    def _tell(self, count: int, unreadable: int) -> None:
        """Say how many videos stand behind the figures."""
        if not unreadable:
            print_log(f"The accuracy is that of {count:,} videos.", "current")
            return
        print_log(
            f"The accuracy is that of {count:,} of {count + unreadable:,} videos; {unreadable:,} "
            "could not be read and are left out.",
            "current",
            logging.WARNING,
        )

    def _write(self, labels: np.ndarray, found: np.ndarray, folder: Path) -> None:
        classes = (self.dataset_meta or {}).get("classes") or map(str, range(self._classes))
        confusion = Confusion.of(labels, found, list(classes))
        write_confusion_table(confusion, folder / "confusion.csv")
        plot_confusion(confusion, folder / "confusion.png")
