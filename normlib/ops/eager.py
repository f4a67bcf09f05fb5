"""The passes as plain PyTorch, for any device: what ``torch.compile`` traces and fuses."""

from __future__ import annotations

import torch
from torch import Tensor

from normlib.ops.reference import accumulation_dtype


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over the positions of each sample and channel."""
    x = x.to(accumulation_dtype(x))
    if x.numel() == 0:
        return x.new_zeros(x.shape[:2]), x.new_zeros(x.shape[:2])
    if x.dim() == 2:
        return x.clone(), torch.zeros_like(x)
    var, mean = torch.var_mean(x, _positions(x), correction=0)
    return mean, var


def apply(x: Tensor, centre: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``scale * (x - centre) + shift``."""
    return _as(torch.addcmul(_over(x, shift), x - _over(x, centre), _over(x, scale)), x)


def backward_reduce(grad: Tensor, x: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over the positions of ``grad`` and of ``grad * (x - mean)``."""
    grad = grad.to(mean.dtype)
    centred = grad * (x - _over(x, mean))
    if x.dim() == 2:
        return grad, centred
    return grad.sum(_positions(x)), centred.sum(_positions(x))


def backward_apply(
    grad: Tensor, x: Tensor, centre: Tensor, grad_scale: Tensor, x_scale: Tensor, shift: Tensor
) -> Tensor:
    """``grad_scale * grad + x_scale * (x - centre) + shift``."""
    dx = torch.addcmul(_over(x, shift), x - _over(x, centre), _over(x, x_scale))
    return _as(torch.addcmul(dx, grad, _over(x, grad_scale)), x)


def _positions(x: Tensor) -> list[int]:
    return list(range(2, x.dim()))


def _as(result: Tensor, x: Tensor) -> Tensor:
    # A cast to the dtype a tensor already has, returned from an autograd.Function, makes
    # torch.compile (2.11) silently compute wrong gradients.
    return result if result.dtype == x.dtype else result.to(x.dtype)


def _over(x: Tensor, per_channel: Tensor) -> Tensor:
    """A tensor of shape (N, C) in a shape that broadcasts against ``x``."""
    return per_channel.view(*per_channel.shape, *([1] * (x.dim() - 2)))
