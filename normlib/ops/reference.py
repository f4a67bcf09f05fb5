r"""Switchable normalisation written as its formulas: the specification of every other backend.

With :math:`\mu_k, \sigma_k^2` the mean and biased variance over the positions of one sample and
channel (``in``), of one sample (``ln``) and of one channel (``bn``), and ratios
:math:`w, w'` on the probability simplex (Luo et al., arXiv 1806.10779, equations 3 to 5),

.. math:: y = \gamma \frac{x - \sum_k w_k \mu_k}{\sqrt{\sum_k w'_k \sigma_k^2 + \epsilon}} + \beta

The layer and batch variances are mixed from centred instance statistics,
:math:`\sigma_{ln}^2 = \mathrm{mean}_c \sigma_{in}^2 + \mathrm{var}_c \mu_{in}`, which stays exact
where ``E[x^2] - E[x]^2`` cancels. Gradients come from autograd, so this backend also serves
second derivatives.
"""

from __future__ import annotations

import torch
from torch import Tensor

from normlib.ops import sync
from normlib.ops.precision import accumulation_dtype
from normlib.ops.running import Running
from normlib.ops.settings import Settings


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
) -> Tensor:
    """Normalise ``x``.

    Args:
        x: Input of shape (N, C, *spatial).
        mean_ratios: Ratios of the means, shape (K,).
        var_ratios: Ratios of the variances, shape (K,).
        weight: gamma of shape (C,), or None for 1.
        bias: beta of shape (C,), or None for 0.
        fixed_mean: Batch mean of shape (C,) to use as a constant (evaluation), or None to
            take it from ``x``.
        fixed_var: Batch variance of shape (C,), given exactly when ``fixed_mean`` is.
        residual: Added to the output before the activation; of the shape of ``x``, or None.
        running: Averages that take in the batch statistics, where those come from ``x``.
        settings: Everything that is no tensor.

    Returns:
        The output, of the shape and dtype of ``x``.
    """
    dtype = accumulation_dtype(x)
    flat = x.to(dtype).flatten(2) if x.dim() > 2 else x.to(dtype).unsqueeze(2)
    samples, channels, positions = flat.shape

    if positions > 0:
        mean = flat.mean(2)
        var = (flat - mean.unsqueeze(2)).square().mean(2)
    else:
        mean, var = flat.new_zeros(samples, channels), flat.new_zeros(samples, channels)
    if settings.unbiased:
        var = var * (positions / (positions - 1)) if positions > 1 else var * 0

    means, variances = [], []
    for normalizer in settings.normalizers:
        if normalizer == "in":
            mu, sigma2 = mean, var
        elif normalizer == "ln":
            mu = mean.mean(1, keepdim=True)
            sigma2 = (var + (mean - mu).square()).mean(1, keepdim=True)
        elif fixed_mean is not None and fixed_var is not None:
            mu, sigma2 = fixed_mean.to(dtype), fixed_var.to(dtype)
        else:
            mu, sigma2, count = _batch_statistics(mean, var, positions, settings)
            if running is not None:
                running.update(mu.detach(), sigma2.detach(), count)
        means.append(mu.expand(samples, channels))
        variances.append(sigma2.expand(samples, channels))

    # Ratios sum to 1, and differences of means keep digits that the means have in common.
    shifts = torch.stack(means) - mean
    mixed_mean = mean + (mean_ratios.to(dtype).view(-1, 1, 1) * shifts).sum(0)
    mixed_var = (var_ratios.to(dtype).view(-1, 1, 1) * torch.stack(variances)).sum(0)
    y = (flat - mixed_mean.unsqueeze(2)) / (mixed_var.unsqueeze(2) + settings.eps).sqrt()
    if weight is not None:
        y = y * weight.to(dtype).view(1, -1, 1)
    if bias is not None:
        y = y + bias.to(dtype).view(1, -1, 1)
    y = y.reshape(x.shape)
    if residual is not None:
        y = y + residual.to(dtype)
    if settings.relu:
        y = y.relu()
    return y.to(x.dtype)


def _batch_statistics(
    mean: Tensor, var: Tensor, positions: int, settings: Settings
) -> tuple[Tensor, Tensor, Tensor | int]:
    """Mean and variance of each channel over samples and ranks, and the element count."""
    count = mean.shape[0] * positions
    if settings.group is None:
        if count == 0:
            return mean.sum(0), var.sum(0), count
        mu = mean.mean(0)
        return mu, (var + (mean - mu).square()).mean(0), count
    total = sync.differentiable_sum(mean.new_tensor(float(count)), settings.group)
    mu = sync.differentiable_sum(positions * mean.sum(0), settings.group) / total.clamp(min=1)
    within = sync.differentiable_sum(
        positions * (var + (mean - mu).square()).sum(0), settings.group
    )
    return mu, within / total.clamp(min=1), total
