"""The highest of very many scores, which come in blocks."""

from __future__ import annotations

import torch
from torch import Tensor

_SLICE = 1 << 22  # scores looked at before the bound rises
_SLACK = 1 << 20  # scores held beyond those that are kept


class HighestScores:
    """Holds the highest scores of all that it is given, exactly.

    Scores at or below the lowest of `keep` held ones are dropped at sight, so that few of a long
    stream are ever copied.

    Args:
        keep: How many to hold, at least 1.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self._bound = float("-inf")
        self._parts: list[Tensor] = []
        self._held = 0

    def add(self, scores: Tensor) -> None:
        """Take scores into account.

        Args:
            scores: float32 of any shape, contiguous.
        """
        for part in scores.reshape(-1).split(_SLICE):
            self._parts.append(_above(part, self._bound))
            self._held += len(self._parts[-1])
            if self._held >= self.keep + _SLACK:
                self._shrink()

    def highest(self, count: int) -> Tensor:
        """The highest scores so far.

        Args:
            count: How many, at most `keep`.

        Returns:
            float32 of shape (count,) or, of fewer scores, of all; on the CPU, unordered.
        """
        if not self._parts:
            return torch.empty(0)
        held = torch.cat(self._parts)
        return torch.topk(held, min(count, len(held)), sorted=False).values.cpu()

    def _shrink(self) -> None:
        kept = torch.topk(torch.cat(self._parts), self.keep, sorted=False).values
        self._parts, self._held = [kept], self.keep
        self._bound = kept.min().item()


def _above(scores: Tensor, bound: float) -> Tensor:
    if scores.device.type == "cpu":  # NumPy selects few of many several times faster
        array = scores.numpy()
        return torch.from_numpy(array[array > bound])
    return scores[scores > bound]
