"""Stateless switchable normalisation and the function that makes ratios sparse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from normlib.ops import registration
from normlib.ops.registration import BACKENDS, backend
from normlib.ops.running import Running
from normlib.ops.settings import NORMALIZERS, Settings

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["NORMALIZERS", "sparsestmax", "switch_norm"]


def switch_norm(
    input: Tensor,
    mean_ratios: Tensor,
    var_ratios: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    *,
    training: bool = True,
    momentum: float | None = 0.1,
    num_batches_tracked: Tensor | None = None,
    eps: float = 1e-5,
    normalizers: Sequence[str] = NORMALIZERS,
    unbiased: bool = False,
    activation: str | None = None,
    residual: Tensor | None = None,
    process_group: ProcessGroup | None = None,
) -> Tensor:
    r"""Normalise with a mixture of instance, layer and batch statistics.

    .. math::
        y = \gamma \frac{x - \sum_k w_k \mu_k}{\sqrt{\sum_k w'_k \sigma_k^2 + \epsilon}} + \beta

    as in Luo et al., "Differentiable Learning-to-Normalize via Switchable Normalization"
    (arXiv 1806.10779), equations 3 to 5. Whatever the dtype of the input, sweeps over it are
    float32 (float64 for float64 input), and what is left of size (N, C) is float64.
    A 1x1 map has instance variance 0; an input without elements gives an output without elements
    and leaves the running statistics alone; non-finite values spread to the statistics they
    enter. In float32, output and gradients keep a relative error of 1e-5 up to a mean of 100
    standard deviations. Second derivatives are in the reference backend alone, and refused
    elsewhere; within torch.func and forward-mode differentiation it serves.

    Args:
        input: Tensor of shape (N, C, *spatial) with 0 to 3 spatial dimensions, in any memory
            format, which the output keeps.
        mean_ratios: Ratios w of the means, shape (K,) with K the number of normalizers; they sum
            to 1, and their gradient is one along the simplex.
        var_ratios: Ratios w' of the variances, shape (K,).
        weight: gamma of shape (C,).
        bias: beta of shape (C,).
        running_mean: Running batch mean of shape (C,): updated in place when training, used in
            place of the batch mean when not.
        running_var: Running batch variance of shape (C,), likewise. It averages the biased
            variance, the one the layer normalises with.
        training: Whether batch statistics come from ``input``.
        momentum: Weight of the new statistics in the running ones; None for their plain average
            over all batches that had elements, which ``num_batches_tracked`` counts.
        num_batches_tracked: Tensor of shape (), counted up in place where ``momentum`` is None.
        eps: Added to the mixed variance.
        normalizers: Which statistics are mixed: a subset of ``('in', 'ln', 'bn')``, in that order.
        unbiased: Take the instance variance with divisor S - 1, as the layers released with the
            paper do.
        activation: ``'relu'`` to apply it to the output in the same sweep, or None.
        residual: Tensor of the shape and dtype of ``input`` that is added before the activation,
            in the same sweep.
        process_group: Share batch statistics over these processes, with one collective in the
            forward and one in the backward. None keeps them local.

    Returns:
        Tensor of the shape, dtype and memory format of ``input``.

    Raises:
        ValueError: Shapes, devices, normalizers or running statistics do not go together, or the
            activation is not known.
    """
    settings = _settings(normalizers, eps, unbiased, activation, process_group)
    _check_arguments(input, mean_ratios, var_ratios, settings)
    if residual is not None and (residual.shape, residual.dtype) != (input.shape, input.dtype):
        raise ValueError(
            f"switch_norm: residual is a {residual.dtype} tensor of shape {tuple(residual.shape)}; "
            f"it must be like input, {input.dtype} of shape {tuple(input.shape)}"
        )
    vectors = (weight, bias, running_mean, running_var)
    if not all(v is None or v.shape == input.shape[1:2] for v in vectors):
        _refuse_channels(input, dict(zip(_VECTORS, vectors, strict=True)))
    others = (mean_ratios, var_ratios, *vectors, residual)
    if not all(t is None or t.device == input.device for t in others):
        names = ("mean_ratios", "var_ratios", *_VECTORS, "residual")
        _refuse_devices(input, dict(zip(names, others, strict=True)))
    if (running_mean is None) != (running_var is None):
        raise ValueError("switch_norm: give both running_mean and running_var, or neither")
    if momentum is None and running_mean is not None and num_batches_tracked is None:
        raise ValueError("switch_norm: momentum=None needs num_batches_tracked to count batches")
    uses_batch = "bn" in settings.normalizers
    fixed_mean = fixed_var = None
    if uses_batch and not training:
        if running_mean is None or running_var is None:
            raise ValueError(
                "switch_norm: 'bn' with training=False needs running_mean and running_var; "
                "pass them, or leave 'bn' out of the normalizers"
            )
        fixed_mean, fixed_var = running_mean, running_var

    running = None
    if training and running_mean is not None and running_var is not None:
        running = Running(running_mean, running_var, momentum, num_batches_tracked)
    return BACKENDS[backend().name](
        input,
        mean_ratios,
        var_ratios,
        weight,
        bias,
        fixed_mean,
        fixed_var,
        residual,
        running,
        settings,
    )


def sparsestmax(logits: Tensor, radius: float | Tensor) -> Tensor:
    """Ratios that become one-hot as the radius grows: the function behind sparse SN.

    Shao et al., "SSN: Learning Sparse Switchable Normalization via SparsestMax" (arXiv
    1903.03793), section 3.2: the sparsemax of the logits is pushed away from the centre of the
    face of the simplex it lies in, to a distance of at least ``radius``; where this leaves the
    simplex, the same is done on the smaller face it is projected to. Radius 0 is sparsemax, the
    Euclidean projection on the simplex (Martins and Astudillo, arXiv 1602.02068). With three
    logits every result is one-hot from a radius of sqrt(2/3) on, unless the largest are equal: at
    the exact centre of a face the direction is undefined, and the result is that centre, with the
    gradient of sparsemax. Second derivatives are refused where the compiled kernel serves.

    Args:
        logits: Tensor of shape (*, K).
        radius: Radius of the sphere around the centre, at least 0; a number or a tensor of
            shape ().

    Returns:
        Tensor of the same shape, non-negative and of sum 1 over the last dimension.

    Raises:
        ValueError: The radius is a number that is negative or not finite.
    """
    if not isinstance(radius, Tensor):
        check_radius(radius)
    return registration.sparsestmax(logits, radius)


def _settings(
    normalizers: Sequence[str],
    eps: float,
    unbiased: bool,
    activation: str | None,
    group: ProcessGroup | None,
) -> Settings:
    # torch.compile traces through the cache, with a warning.
    if type(normalizers) is tuple and group is None and not torch.compiler.is_compiling():
        return _checked_settings(normalizers, eps, unbiased, activation)
    check_normalizers(normalizers)
    check_activation(activation)
    return Settings(tuple(normalizers), eps, unbiased, activation == "relu", group)


@lru_cache(maxsize=256)
def _checked_settings(
    normalizers: tuple[str, ...], eps: float, unbiased: bool, activation: str | None
) -> Settings:
    check_normalizers(normalizers)
    check_activation(activation)
    return Settings(normalizers, eps, unbiased, activation == "relu")


def _check_arguments(
    input: Tensor,
    mean_ratios: Tensor,
    var_ratios: Tensor,
    settings: Settings,
) -> None:
    if not 2 <= input.dim() <= 5 or not input.is_floating_point():
        raise ValueError(
            f"switch_norm: input is a {input.dtype} tensor of shape {tuple(input.shape)}; it must "
            "be a floating point tensor of shape (N, C) to (N, C, D, H, W)"
        )
    if input.dim() == 2 and "in" in settings.normalizers:
        raise ValueError(
            f"switch_norm: input of shape {tuple(input.shape)} has no positions to take instance "
            f"statistics over; leave 'in' out of the normalizers {settings.normalizers}"
        )
    expected = (len(settings.normalizers),)
    if mean_ratios.shape == var_ratios.shape == expected:
        return
    for name, ratios in (("mean_ratios", mean_ratios), ("var_ratios", var_ratios)):
        if ratios.shape != expected:
            raise ValueError(
                f"switch_norm: {name} has shape {tuple(ratios.shape)}; the normalizers "
                f"{settings.normalizers} need shape ({len(settings.normalizers)},)"
            )


_VECTORS = ("weight", "bias", "running_mean", "running_var")


def _refuse_channels(input: Tensor, vectors: dict[str, Tensor | None]) -> None:
    for name, vector in vectors.items():
        if vector is not None and vector.shape != input.shape[1:2]:
            raise ValueError(
                f"switch_norm: {name} has shape {tuple(vector.shape)}, input has "
                f"{input.shape[1]} channels (shape {tuple(input.shape)})"
            )


def _refuse_devices(input: Tensor, others: dict[str, Tensor | None]) -> None:
    for name, tensor in others.items():
        if tensor is not None and tensor.device != input.device:
            raise ValueError(
                f"switch_norm: {name} is on {tensor.device}, input on {input.device}; move the "
                "layer or the input"
            )


def check_activation(activation: str | None) -> None:
    """Raise ValueError unless this activation can be fused."""
    if activation not in (None, "relu"):
        raise ValueError(f"activation is {activation!r}; it must be 'relu' or None")


def check_radius(radius: float) -> None:
    """Raise ValueError unless this is a radius for :func:`sparsestmax`."""
    if not 0 <= radius < math.inf:
        raise ValueError(f"radius is {radius}; it must be 0 or more, and finite")


def check_normalizers(normalizers: Sequence[str]) -> None:
    """Raise ValueError unless this is a non-empty subset of ``NORMALIZERS``, in that order."""
    known = tuple(name for name in NORMALIZERS if name in normalizers)
    if isinstance(normalizers, str) or not normalizers or known != tuple(normalizers):
        raise ValueError(
            f"normalizers is {normalizers!r}; it must be a non-empty subset of {NORMALIZERS}, in "
            "that order and without repeats"
        )
