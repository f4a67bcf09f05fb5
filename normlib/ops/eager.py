"""The passes as plain PyTorch, for any device: what ``torch.compile`` traces and fuses."""

from __future__ import annotations

import torch
from torch import Tensor

from normlib.ops.precision import STATISTICS, accumulation_dtype, rounded


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over the positions of each sample and channel."""
    x = x.to(accumulation_dtype(x))
    if x.numel() == 0:
        zeros = x.new_zeros(x.shape[:2], dtype=STATISTICS)
        return zeros, zeros.clone()
    if x.dim() == 2:
        return x.to(STATISTICS), torch.zeros_like(x, dtype=STATISTICS)
    mean = x.mean(_positions(x), dtype=STATISTICS)
    return mean, torch.var(x, _positions(x), correction=0).to(STATISTICS)


def apply(x: Tensor, centre: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``scale * (x - centre) + shift``."""
    return _as(_centred_affine(x, centre, scale, shift), x)


def backward_reduce(grad: Tensor, x: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over the positions of ``grad`` and of ``grad * (x - mean)``."""
    dtype = accumulation_dtype(x)
    near, excess = rounded(mean, dtype)
    grad = grad.to(dtype)
    centred = grad * (x - _over(x, near))
    if x.dim() > 2:
        grad, centred = grad.sum(_positions(x)), centred.sum(_positions(x))
    total = grad.to(STATISTICS)
    return total, centred.to(STATISTICS) + excess * total


def backward_apply(
    grad: Tensor, x: Tensor, centre: Tensor, grad_scale: Tensor, x_scale: Tensor, shift: Tensor
) -> Tensor:
    """``grad_scale * grad + x_scale * (x - centre) + shift``."""
    dx = _centred_affine(x, centre, x_scale, shift)
    return _as(torch.addcmul(dx, grad, _over(x, grad_scale.to(dx.dtype))), x)


def _centred_affine(x: Tensor, centre: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    dtype = accumulation_dtype(x)
    near, excess = rounded(centre, dtype)
    shift = (shift + scale * excess).to(dtype)
    return torch.addcmul(_over(x, shift), x - _over(x, near), _over(x, scale.to(dtype)))


def _positions(x: Tensor) -> list[int]:
    return list(range(2, x.dim()))


def _as(result: Tensor, x: Tensor) -> Tensor:
    # A cast to the dtype a tensor already has, returned from an autograd.Function, makes
    # torch.compile (2.11) silently compute wrong gradients.
    return result if result.dtype == x.dtype else result.to(x.dtype)


def _over(x: Tensor, per_channel: Tensor) -> Tensor:
    """A tensor of shape (N, C) in a shape that broadcasts against ``x``."""
    return per_channel.view(*per_channel.shape, *([1] * (x.dim() - 2)))
