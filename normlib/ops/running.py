"""Running averages of batch statistics."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Running:
    """Buffers that follow the batch statistics.

    Attributes:
        mean: Running mean of shape (C,), updated in place.
        var: Running variance of shape (C,), updated in place.
        momentum: Weight of new statistics; None for the plain average over all batches.
        batches: Number of batches so far, shape (), counted up where ``momentum`` is None.
    """

    mean: Tensor
    var: Tensor
    momentum: float | None
    batches: Tensor | None = None

    def update(self, mean: Tensor, var: Tensor, count: Tensor | int) -> None:
        """Take in batch statistics of ``count`` elements, unless there are none."""
        if isinstance(count, int):
            if count == 0:
                return
            fresh: Tensor | float = 1.0
        else:
            fresh = (count > 0).to(self.mean.dtype)
        if self.momentum is None:
            assert self.batches is not None
            self.batches.add_(fresh)
            weight: Tensor | float = (fresh / self.batches.clamp(min=1)).to(self.mean.dtype)
        else:
            weight = fresh * self.momentum
        for old, new in ((self.mean, mean), (self.var, var)):
            old.lerp_(new.to(old.dtype), weight)
