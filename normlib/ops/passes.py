"""The four sweeps over memory that a backend provides, as functions of a module."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Passes(Protocol):
    """Sweeps over the input and its gradient; everything else is O(N C).

    ``x``, ``grad`` and the results of ``apply`` and ``backward_apply`` have shape (N, C, *spatial)
    and the dtype and memory format of ``x``; they are computed in float32, or float64 for float64
    input. Every other tensor has shape (N, C) and is float64. N or the number of positions may be
    0. Centring before scaling keeps the digits of inputs far from zero.
    """

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance over the positions of each sample and channel."""

    def apply(self, x: Tensor, centre: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """``scale * (x - centre) + shift``."""

    def backward_reduce(self, grad: Tensor, x: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
        """Sums over the positions of ``grad`` and of ``grad * (x - mean)``."""

    def backward_apply(
        self,
        grad: Tensor,
        x: Tensor,
        centre: Tensor,
        grad_scale: Tensor,
        x_scale: Tensor,
        shift: Tensor,
    ) -> Tensor:
        """``grad_scale * grad + x_scale * (x - centre) + shift``."""
