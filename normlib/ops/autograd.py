"""Forward and backward of switchable normalisation over the four passes of a backend.

Saved for backward: ``x`` and O(N C). The backward is the closed form of the derivative of
:mod:`normlib.ops.reference`; ``m, v`` are the instance mean and variance of shape (N, C), ``A`` and
``P`` the sums over positions of ``dy`` and ``dy (x - mixed mean)``.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from normlib.ops import sync
from normlib.ops.first_order import first_order
from normlib.ops.passes import Passes
from normlib.ops.running import Running
from normlib.ops.settings import Settings


class _Mixture(NamedTuple):
    """Statistics of one forward pass: (N, C) and (N, 1) tensors, and vectors over the channels."""

    mean: Tensor
    var: Tensor
    layer_mean: Tensor | None
    layer_var: Tensor | None
    mixed_mean: Tensor
    rstd: Tensor


class _SwitchNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        mean_ratios: Tensor,
        var_ratios: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        fixed_mean: Tensor | None,
        fixed_var: Tensor | None,
        settings: Settings,
        passes: Passes,
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
        mean, var = passes.statistics(x)
        total = batch_mean = batch_var = None
        if settings.index("bn") is not None and fixed_mean is None:
            total, batch_mean, batch_var = _batch_statistics(
                mean, _instance_variance(var, x, settings), _positions(x), settings
            )
        bn_mean = batch_mean if fixed_mean is None else fixed_mean.to(mean.dtype)
        bn_var = batch_var if fixed_var is None else fixed_var.to(mean.dtype)
        mixture = _mix(x, mean, var, bn_mean, bn_var, mean_ratios, var_ratios, settings)

        scale = mixture.rstd if weight is None else mixture.rstd * weight.to(mean.dtype)
        shift = torch.zeros_like(mean) if bias is None else bias.to(mean.dtype).expand_as(mean)
        y = passes.apply(x, mixture.mixed_mean, scale, shift)

        ctx.save_for_backward(x, mean, var, bn_mean, bn_var, total, mean_ratios, var_ratios, weight)
        ctx.settings = settings
        ctx.passes = passes
        ctx.bias_dtype = None if bias is None else bias.dtype
        ctx.batch_is_fixed = fixed_mean is not None
        statistics = (batch_mean, batch_var, total)
        ctx.mark_non_differentiable(*(t for t in statistics if t is not None))
        return y, batch_mean, batch_var, total

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, mean, var, bn_mean, bn_var, total, mean_ratios, var_ratios, weight = ctx.saved_tensors
        settings: Settings = ctx.settings
        passes: Passes = ctx.passes
        needs_x, needs_mean_ratios, needs_var_ratios, needs_weight, needs_bias = (
            ctx.needs_input_grad[:5]
        )
        mix = _mix(x, mean, var, bn_mean, bn_var, mean_ratios, var_ratios, settings)

        sum_grad, sum_grad_centred = passes.backward_reduce(grad, x, mean)
        projection = sum_grad_centred + (mean - mix.mixed_mean) * sum_grad
        grad_weight = (mix.rstd * projection).sum(0) if needs_weight else None
        grad_bias = sum_grad.sum(0) if needs_bias else None

        scale = mix.rstd if weight is None else mix.rstd * weight.to(mean.dtype)
        grad_mixed_mean = -scale * sum_grad
        grad_mixed_var = -0.5 * scale * mix.rstd.square() * projection

        grad_mean_ratios = grad_var_ratios = grad_x = None
        if needs_mean_ratios:
            parts = {"in": mix.mean, "ln": mix.layer_mean, "bn": bn_mean}
            shifts = {k: None if part is None else part - mix.mean for k, part in parts.items()}
            grad_mean_ratios = _ratio_gradient(grad_mixed_mean, shifts, settings)
        if needs_var_ratios:
            parts = {"in": mix.var, "ln": mix.layer_var, "bn": bn_var}
            grad_var_ratios = _ratio_gradient(grad_mixed_var, parts, settings)
        if needs_x:
            grad_mean, grad_var = _instance_gradients(
                grad_mixed_mean,
                grad_mixed_var,
                mix,
                None if ctx.batch_is_fixed else bn_mean,
                total,
                _positions(x),
                mean_ratios.to(mean.dtype),
                var_ratios.to(mean.dtype),
                settings,
            )
            if settings.unbiased:
                grad_var = _instance_variance(grad_var, x, settings)
            positions = max(_positions(x), 1)
            grad_x = passes.backward_apply(
                grad, x, mean, scale, (2 / positions) * grad_var, grad_mean / positions
            )
        return (
            grad_x,
            _cast(grad_mean_ratios, mean_ratios.dtype),
            _cast(grad_var_ratios, var_ratios.dtype),
            _cast(grad_weight, None if weight is None else weight.dtype),
            _cast(grad_bias, ctx.bias_dtype),
            *(None,) * 4,
        )


def switch_norm(
    x: Tensor,
    mean_ratios: Tensor,
    var_ratios: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    fixed_mean: Tensor | None,
    fixed_var: Tensor | None,
    residual: Tensor | None,
    running: Running | None,
    settings: Settings,
    passes: Passes,
) -> Tensor:
    """As :func:`normlib.ops.reference.switch_norm`, on the given passes; first derivatives only."""
    y, batch_mean, batch_var, total = _SwitchNorm.apply(
        x, mean_ratios, var_ratios, weight, bias, fixed_mean, fixed_var, settings, passes
    )
    if residual is not None:
        y = y + residual
    if settings.relu:
        y = y.relu()
    if running is not None and batch_mean is not None:
        count = x.shape[0] * _positions(x) if total is None else total
        running.update(batch_mean, batch_var, count)
    return y


def _positions(x: Tensor) -> int:
    return x.shape[2:].numel()


def _cast(grad: Tensor | None, dtype: torch.dtype | None) -> Tensor | None:
    return None if grad is None or dtype is None else grad.to(dtype)


def _instance_variance(var: Tensor, x: Tensor, settings: Settings) -> Tensor:
    """The instance variance that is mixed, from the biased one (linear, so its own adjoint)."""
    if not settings.unbiased:
        return var
    positions = _positions(x)
    return var * (positions / (positions - 1)) if positions > 1 else torch.zeros_like(var)


def _batch_statistics(
    mean: Tensor, var: Tensor, positions: int, settings: Settings
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Total element count (synchronised only), mean and variance of each channel."""
    samples, channels = mean.shape
    if samples * positions == 0:
        batch_mean = batch_var = mean.new_zeros(channels)
        batch_var = batch_var.clone()
    else:
        batch_mean = mean.mean(0)
        batch_var = (var + (mean - batch_mean).square()).mean(0)
    if settings.group is None:
        return None, batch_mean, batch_var
    return sync.merge_statistics(samples * positions, batch_mean, batch_var, settings.group)


def _mix(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    bn_mean: Tensor | None,
    bn_var: Tensor | None,
    mean_ratios: Tensor,
    var_ratios: Tensor,
    settings: Settings,
) -> _Mixture:
    var = _instance_variance(var, x, settings)
    mean_ratios, var_ratios = mean_ratios.to(mean.dtype), var_ratios.to(mean.dtype)
    layer_mean = layer_var = None
    mixed_mean = mean
    mixed_var = torch.zeros_like(var)
    for k, normalizer in enumerate(settings.normalizers):
        if normalizer == "in":
            mu, sigma2 = mean, var
        elif normalizer == "ln":
            mu = layer_mean = mean.mean(1, keepdim=True)
            sigma2 = layer_var = (var + (mean - mu).square()).mean(1, keepdim=True)
        else:
            assert bn_mean is not None and bn_var is not None
            mu, sigma2 = bn_mean, bn_var
        mixed_mean = mixed_mean + mean_ratios[k] * (mu - mean)
        mixed_var = mixed_var + var_ratios[k] * sigma2
    rstd = (mixed_var + settings.eps).rsqrt()
    return _Mixture(mean, var, layer_mean, layer_var, mixed_mean, rstd)


def _ratio_gradient(
    grad_mixed: Tensor, parts: dict[str, Tensor | None], settings: Settings
) -> Tensor:
    return torch.stack(
        [
            (grad_mixed * cast(Tensor, parts[normalizer])).sum()
            for normalizer in settings.normalizers
        ]
    )


def _instance_gradients(
    grad_mixed_mean: Tensor,
    grad_mixed_var: Tensor,
    mix: _Mixture,
    batch_mean: Tensor | None,
    batch_total: Tensor | None,
    positions: int,
    mean_ratios: Tensor,
    var_ratios: Tensor,
    settings: Settings,
) -> tuple[Tensor, Tensor]:
    """Gradients of the instance means and variances, through all three statistics."""
    samples, channels = mix.mean.shape
    grad_mean = torch.zeros_like(mix.mean)
    grad_var = torch.zeros_like(mix.mean)

    k = settings.index("in")
    if k is not None:
        grad_mean = grad_mean + mean_ratios[k] * grad_mixed_mean
        grad_var = grad_var + var_ratios[k] * grad_mixed_var

    k = settings.index("ln")
    if k is not None:
        assert mix.layer_mean is not None
        through_mean = (mean_ratios[k] / channels) * grad_mixed_mean.sum(1, keepdim=True)
        through_var = (var_ratios[k] / channels) * grad_mixed_var.sum(1, keepdim=True)
        grad_mean = grad_mean + through_mean + 2 * through_var * (mix.mean - mix.layer_mean)
        grad_var = grad_var + through_var

    k = settings.index("bn")
    if k is not None and batch_mean is not None:
        through_mean, through_var = grad_mixed_mean.sum(0), grad_mixed_var.sum(0)
        share: Tensor | float = 1 / max(samples, 1)
        if settings.group is not None:
            assert batch_total is not None
            through_mean, through_var = sync.sum_gradients(
                through_mean, through_var, settings.group
            )
            share = positions / batch_total.clamp(min=1)
        through_mean = mean_ratios[k] * share * through_mean
        through_var = var_ratios[k] * share * through_var
        grad_mean = grad_mean + through_mean + 2 * through_var * (mix.mean - batch_mean)
        grad_var = grad_var + through_var
    return grad_mean, grad_var
