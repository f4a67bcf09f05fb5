"""The place of the right class among the scores of all classes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


class MetricError(ValueError):
    """An argument of a metric in the config is out of range, or there is nothing to measure."""


def class_places(scores: Tensor, labels: Tensor) -> Tensor:
    """How many classes score as high as the right one, or higher.

    A class counts as better than another only if its score is strictly higher, so that equal
    scores, such as those of an untrained model, do not count as right.

    Args:
        scores: Shape (samples, classes).
        labels: The right classes, int64 of shape (samples,).

    Returns:
        int64 of shape (samples,): 0 for the best place. A sample whose right class scores NaN or
        infinity comes last, with the number of classes.
    """
    own = scores.gather(1, labels[:, None])
    others = (scores >= own).sum(1) - 1
    # A NaN compares with nothing; such a sample is classified wrongly.
    return others.where(own.isfinite()[:, 0], scores.shape[1])


def read_topk(metric: str, topk: Sequence[int]) -> tuple[int, ...]:
    """The k of a config.

    Args:
        metric: The class that has them, for the message.
        topk: What the config gives.

    Raises:
        MetricError: It is no list of numbers from 1 on.
    """
    if not topk or not all(isinstance(k, int) and k >= 1 for k in topk):
        raise MetricError(f"{metric}: topk is {topk!r}; it is a list of numbers from 1")
    return tuple(topk)
