"""Backward passes that have no derivative of their own."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

Gradients = tuple[Tensor | None, ...]


def first_order(backward: Callable[..., Gradients]) -> Callable[..., Gradients]:
    """Have the backward of an autograd.Function raise where it would be differentiated.

    ``torch.autograd.function.once_differentiable`` does so only where the upstream gradient
    requires one, and otherwise lets the dependence on the input go unnoticed.
    """

    @wraps(backward)
    def checked(ctx: Any, *grads: Tensor | None) -> Gradients:
        if not torch.is_grad_enabled():
            return backward(ctx, *grads)
        gradients: Gradients = _Gradients.apply(
            backward, ctx, len(grads), *grads, *ctx.saved_tensors
        )
        return gradients

    return checked


class _Gradients(torch.autograd.Function):
    """Gradients that depend on everything the backward pass reads."""

    @staticmethod
    def forward(
        ctx: Any, backward: Callable[..., Gradients], node: Any, count: int, *tensors: Tensor | None
    ) -> Gradients:
        return backward(node, *tensors[:count])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Gradients:
        raise RuntimeError(
            "switch_norm and sparsestmax have first derivatives only; all of them are in the "
            "reference backend (NORMLIB_BACKEND=reference, or normlib.use_backend('reference'))"
        )
