"""Verification of pairs of faces."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS

from tasks.face.evaluation.roc_plot import plot_roc
from tasks.face.evaluation.verification import (
    RocCurve,
    VerificationError,
    far_name,
    roc_curve,
    squared_distances,
    tar_at_far,
    ten_fold_accuracy,
)


@METRICS.register_module()
class FaceVerification(BaseMetric):
    """Accuracy by folds, and true accepts at rates of false ones, of the sets of a data set.

    The data set's `metainfo["sets"]` holds, by name, `pairs` (int64 of shape (P, 2), indices of
    images) and `same` (bool of shape (P,)), and may hold `file`, a path for messages. Of a set
    `lfw` are reported, in per cent, `lfw/accuracy` and `lfw/accuracy_std` (mean and standard
    deviation over the folds, see
    :func:`~tasks.face.evaluation.verification.ten_fold_accuracy`) and `lfw/tar@far=1e-04` for every
    FAR that its impostor pairs can measure; of several sets `mean/accuracy` besides.

    Attributes:
        details: Of the last evaluation, in the main process, by set: `fold_accuracies` in per cent,
            `fold_thresholds` and `threshold` (the best over all pairs), both squared distances,
            and the number of `pairs`, of them `genuine` and `impostor`.

    Args:
        fars: Rates of false accepts.
        folds: Of the accuracy.
        out_dir: Folder for `roc.png`, the ROC of all sets; none is drawn without.
        **kwargs: Arguments of mmengine's `BaseMetric`.

    Raises:
        VerificationError: An embedding is missing, double, or holds NaN or infinity; or a set
            cannot be measured. The message names the set and the image.
    """

    default_prefix = ""  # The names are whole; mmengine warns where this is None.

    def __init__(
        self,
        fars: Sequence[float] = (1e-4, 1e-5, 1e-6),
        folds: int = 10,
        out_dir: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not all(isinstance(far, (int, float)) and 0 < far <= 1 for far in fars):
            raise VerificationError(
                f"FaceVerification: fars is {fars!r}; it is a list of shares such as 1e-4"
            )
        if not isinstance(folds, int) or folds < 2:
            raise VerificationError(f"FaceVerification: folds is {folds!r}; it is a number from 2")
        self.fars = tuple(fars)
        self.folds = folds
        self.out_dir = out_dir
        self.details: dict[str, Any] = {}
        self._told = False

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Take note of the embeddings of a batch."""
        indices = torch.stack([sample["index"] for sample in data_samples]).tolist()
        embeddings = torch.stack([sample["embedding"] for sample in data_samples])
        rows = embeddings.float().cpu().numpy()
        for place in np.flatnonzero(~np.isfinite(rows).all(1)):
            raise VerificationError(
                f"the embedding of {self._image(indices[place])} holds NaN or infinity; the "
                "checkpoint, or the image as the pipeline gives it, is not sound"
            )
        self.results += zip(indices, rows, strict=True)

    def evaluate(self, size: int) -> dict[str, float]:
        """The figures over all processes, see mmengine's `BaseMetric`."""
        if size < 1:  # known to every process, so that none waits for another
            raise VerificationError("there is no image to evaluate; is the validation set empty?")
        return super().evaluate(size)

    def compute_metrics(self, results: list[tuple[int, np.ndarray]]) -> dict[str, float]:
        """The figures from the embeddings of all images, which are given once each."""
        embeddings = self._in_order(results)
        self.details = {}
        metrics: dict[str, float] = {}
        curves: dict[str, RocCurve] = {}
        unmeasured: dict[str, int] = {}
        for name, chosen in self._sets.items():
            same = np.asarray(chosen["same"], bool)
            distances = squared_distances(embeddings, chosen["pairs"])
            metrics |= {f"{name}/{k}": v for k, v in self._accuracy(name, distances, same).items()}
            if same.all() or not same.any():
                continue
            similarities = 1 - distances / 2
            scores = similarities[same], similarities[~same]
            for point in tar_at_far(*scores, self.fars):
                if point.tar is None:
                    unmeasured[name] = len(scores[1])
                else:
                    metrics[f"{name}/tar@far={far_name(point.far)}"] = 100 * point.tar
            if self.out_dir is not None:
                curves[name] = roc_curve(*scores)
        self._tell(unmeasured)
        if len(self._sets) > 1:
            accuracies = [metrics[f"{name}/accuracy"] for name in self._sets]
            metrics["mean/accuracy"] = float(np.mean(accuracies))
        if curves:
            plot_roc(curves, Path(self.out_dir, "roc.png"), "Face verification")
        return metrics

    @property
    def _sets(self) -> Mapping[str, Mapping[str, Any]]:
        sets = (self.dataset_meta or {}).get("sets")
        if not sets:
            raise VerificationError(
                "FaceVerification: the data set names no sets of pairs (metainfo['sets']); it "
                "evaluates a VerificationDataset"
            )
        return sets

    def _accuracy(self, name: str, distances: np.ndarray, same: np.ndarray) -> dict[str, float]:
        try:
            found = ten_fold_accuracy(distances, same, self.folds)
        except VerificationError as error:
            raise VerificationError(f"set {name}: {error}") from error
        self.details[name] = {
            "fold_accuracies": (100 * found.accuracies).tolist(),
            "fold_thresholds": found.thresholds.tolist(),
            "threshold": found.threshold,
            "pairs": len(same),
            "genuine": int(same.sum()),
            "impostor": int((~same).sum()),
        }
        return {"accuracy": 100 * found.mean, "accuracy_std": 100 * found.std}

    def _in_order(self, results: list[tuple[int, np.ndarray]]) -> np.ndarray:
        """The embeddings by the indices of the images, float32 of shape (images, D)."""
        count = 1 + max(
            [int(chosen["pairs"].max(initial=-1)) for chosen in self._sets.values()]
            + [index for index, _ in results]
        )
        times = np.bincount([index for index, _ in results], minlength=count)
        for index in np.flatnonzero(times > 1):
            raise VerificationError(
                f"there are {times[index]} embeddings of {self._image(index)}; every image of the "
                "validation set has to be evaluated once"
            )
        absent = np.flatnonzero(times == 0)
        for index in absent:
            raise VerificationError(
                f"there is no embedding of {self._image(index)}, and {len(absent)} are missing in "
                "all; every image of the validation set has to be evaluated"
            )
        embeddings = np.empty((count, len(results[0][1])), np.float32)
        for index, embedding in results:
            embeddings[index] = embedding
        return embeddings

    def _image(self, index: int) -> str:
        """Which image it is, by the first pair that it belongs to."""
        for name, chosen in self._sets.items():
            for pair, place in itertools.islice(np.argwhere(chosen["pairs"] == index), 1):
                source = f"{chosen['file']}, " if "file" in chosen else ""
                return f"image {index} ({source}set {name}, pair {pair}, image {place + 1} of 2)"
        return f"image {index} (of no set)"

    def _tell(self, unmeasured: Mapping[str, int]) -> None:
        """Say once which figures are left out."""
        if not unmeasured or self._told:
            return
        self._told = True
        counts = ", ".join(f"{name} {count:,}" for name, count in unmeasured.items())
        lowest = 1 / max(unmeasured.values())
        print_log(
            f"TAR at a FAR below one of the impostor pairs cannot be measured and is left out "
            f"(fars={self.fars}); impostor pairs: {counts}, the lowest FAR {lowest:.1e}",
            "current",
        )
