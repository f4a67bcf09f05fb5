"""The operators of the compiled kernels in PyTorch: schemas, shapes for tracing, derivative.

``normlib::switch_norm`` is the whole forward of one process. The others are its parts, between
which the synchronised form communicates. The kernels themselves are registered by the libraries
that :mod:`normlib.ops.native` loads.

Attributes of the schemas, with A the dtype of accumulation (float32, or float64 for float64 input):

- ``instance``: A (2, N, C), difference of the instance means from the channel's mean in
  ``channel``, and instance variances;
- ``layer``: float64 (N, 2), mean and variance of each sample;
- ``channel`` and ``batch``: float64 (1 + 2 C), number of elements, means and variances of the
  channels on this process, and on all;
- ``mask``: uint8 (rows, bytes), one bit an element that the ReLU lets through;
- ``normalizers``: bits 1, 2 and 4 for instance, layer and batch statistics;
- ``logits`` and ``ratios``: (rows, K), with the ``jacobian`` (rows, K, K) of each row.

Sizes and roles of the others are in ``csrc/problem.h``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.ops.first_order import first_order
from normlib.ops.precision import STATISTICS, accumulation_dtype

_STATISTICS = "Tensor instance, Tensor layer, Tensor channel"
_MIXING = (
    "Tensor mean_ratios, Tensor var_ratios, Tensor? weight, Tensor? bias, "
    "Tensor? fixed_mean, Tensor? fixed_var"
)
_SETTINGS = "int normalizers, bool unbiased, float eps, bool relu"
_BACKWARD = f"Tensor grad, Tensor x, Tensor? mask, {_STATISTICS}"

SCHEMAS = (
    "statistics(Tensor x, Tensor? fixed_mean, Tensor? fixed_var, int normalizers, bool unbiased)"
    " -> (Tensor instance, Tensor layer, Tensor channel)",
    "merge(Tensor gathered) -> Tensor",
    f"apply(Tensor x, Tensor? residual, {_STATISTICS}, Tensor batch, {_MIXING}, {_SETTINGS},"
    " bool keep_mask) -> (Tensor y, Tensor mask)",
    f"backward_reduce({_BACKWARD}, Tensor batch, {_MIXING}, {_SETTINGS})"
    " -> (Tensor sums, Tensor layer_grad, Tensor channel_grad, Tensor dweight, Tensor dbias)",
    f"backward_apply({_BACKWARD}, Tensor batch, {_MIXING}, {_SETTINGS}, Tensor sums,"
    " Tensor layer_grad, Tensor channel_grad, bool needs_x, bool needs_residual)"
    " -> (Tensor dx, Tensor dresidual, Tensor dmean_ratios, Tensor dvar_ratios)",
    f"switch_norm(Tensor x, Tensor? residual, {_MIXING}, Tensor(a!)? running_mean,"
    f" Tensor(b!)? running_var, float momentum, {_SETTINGS}, bool keep_mask)"
    " -> (Tensor y, Tensor mask, Tensor instance, Tensor layer, Tensor channel)",
    f"switch_norm_backward({_BACKWARD}, {_MIXING}, {_SETTINGS}, bool needs_x, bool needs_residual)"
    " -> (Tensor dx, Tensor dresidual, Tensor dmean_ratios, Tensor dvar_ratios, Tensor dweight,"
    " Tensor dbias)",
    "sparsestmax(Tensor logits, Tensor radius) -> (Tensor ratios, Tensor jacobian)",
)

library = torch.library.Library("normlib", "DEF")
for _schema in SCHEMAS:
    library.define(_schema)


def is_channels_last(x: Tensor) -> bool:
    """Whether the channels of a position lie together in memory, and nothing else is between."""
    return x.dim() > 2 and not x.is_contiguous() and x.movedim(1, -1).is_contiguous()


def _like(x: Tensor) -> Tensor:
    dense = x.is_contiguous() or is_channels_last(x)
    return torch.empty_like(x) if dense else torch.empty_like(x.contiguous())


def _statistics_of(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    samples, channels = x.shape[:2]
    return (
        x.new_empty((2, samples, channels), dtype=accumulation_dtype(x)),
        x.new_empty((samples, 2), dtype=STATISTICS),
        x.new_empty((1 + 2 * channels,), dtype=STATISTICS),
    )


def _mask_of(x: Tensor, wanted: bool) -> Tensor:
    samples, channels, positions = x.shape[0], x.shape[1], x.shape[2:].numel()
    last = is_channels_last(x) or positions == 1
    rows, row = (positions, channels) if last else (channels, positions)
    return x.new_empty((samples * rows if wanted else 0, (row + 7) // 8), dtype=torch.uint8)


def _vector(x: Tensor, *shape: int) -> Tensor:
    return x.new_empty(shape, dtype=accumulation_dtype(x))


@torch.library.register_fake("normlib::statistics", lib=library)
def _(x: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return _statistics_of(x)


@torch.library.register_fake("normlib::merge", lib=library)
def _(gathered: Tensor) -> Tensor:
    return gathered.new_empty(gathered.shape[1])


@torch.library.register_fake("normlib::apply", lib=library)
def _(x: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    return _like(x), _mask_of(x, arguments[-1])


@torch.library.register_fake("normlib::switch_norm", lib=library)
def _(x: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    return _like(x), _mask_of(x, arguments[-1]), *_statistics_of(x)


@torch.library.register_fake("normlib::backward_reduce", lib=library)
def _(grad: Tensor, x: Tensor, *_: Any) -> tuple[Tensor, ...]:
    samples, channels = x.shape[:2]
    return (
        _vector(x, samples, channels, 2),
        x.new_empty((samples, 7), dtype=STATISTICS),
        x.new_empty((2, channels), dtype=STATISTICS),
        _vector(x, channels),
        _vector(x, channels),
    )


@torch.library.register_fake("normlib::backward_apply", lib=library)
def _(grad: Tensor, x: Tensor, mask: Tensor | None, *arguments: Any) -> tuple[Tensor, ...]:
    return _input_gradients(x, arguments[4], *arguments[-2:])


@torch.library.register_fake("normlib::switch_norm_backward", lib=library)
def _(grad: Tensor, x: Tensor, mask: Tensor | None, *arguments: Any) -> tuple[Tensor, ...]:
    channels = x.shape[1]
    gradients = _input_gradients(x, arguments[3], *arguments[-2:])
    return *gradients, _vector(x, channels), _vector(x, channels)


@torch.library.register_fake("normlib::sparsestmax", lib=library)
def _(logits: Tensor, radius: Tensor) -> tuple[Tensor, ...]:
    rows, count = logits.shape
    return logits.new_empty((rows, count)), logits.new_empty((rows, count, count))


def _input_gradients(
    x: Tensor, mean_ratios: Tensor, needs_x: bool, needs_residual: bool
) -> tuple[Tensor, ...]:
    return (
        _like(x) if needs_x else _vector(x, 0),
        _like(x) if needs_residual else _vector(x, 0),
        _vector(x, mean_ratios.shape[0]),
        _vector(x, mean_ratios.shape[0]),
    )


class _SwitchNorm(torch.autograd.Function):
    """Derivative of ``normlib::switch_norm``; first derivatives only."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        residual: Tensor | None,
        mean_ratios: Tensor,
        var_ratios: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        others: tuple[Any, ...],
        outputs: list[Tensor],
    ) -> Tensor:
        fixed_mean, fixed_var, _, _, _, *settings = others
        keep_mask = settings[-1] and residual is not None
        with torch._C._AutoDispatchBelowAutograd():
            y, mask, instance, layer, channel = _forward(
                x, residual, mean_ratios, var_ratios, weight, bias, *others, keep_mask
            )
        if fixed_mean is not None:  # running buffers, which a later batch moves on
            fixed_mean, fixed_var = fixed_mean.clone(), fixed_var.clone()
        mixing = (mean_ratios, var_ratios, weight, bias, fixed_mean, fixed_var)
        kept = mask if keep_mask else None
        ctx.save_for_backward(x, kept, instance, layer, channel, *mixing)
        ctx.settings = settings
        # What has no derivative leaves beside the graph, which is quicker.
        outputs += (mask, instance, layer, channel)
        result: Tensor = y
        return result

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        settings = ctx.settings
        relu = settings[-1]
        x_needs, residual_needs, *needs, _, _ = ctx.needs_input_grad
        dx, dresidual, *parameters = _backward(
            grad, *ctx.saved_tensors, *settings, x_needs, residual_needs and relu
        )
        return (
            dx if x_needs else None,
            (dresidual if relu else grad) if residual_needs else None,
            *[g if n else None for g, n in zip(parameters, needs, strict=True)],
            None,
            None,
        )


_forward = torch.ops.normlib.switch_norm.default
_backward = torch.ops.normlib.switch_norm_backward.default


def switch_norm(*arguments: Any) -> tuple[Tensor, Tensor]:
    """Call ``normlib::switch_norm``.

    Args:
        *arguments: Those of the schema, but for ``keep_mask``.

    Returns:
        ``y`` and ``channel``.
    """
    # What the dispatcher would come to through two more layers of Python.
    call = _forward if torch.compiler.is_compiling() else _with_derivative
    y, _, _, _, channel = call(*arguments, False)
    return y, channel


def _with_derivative(*arguments: Any) -> tuple[Tensor, ...]:
    if torch.is_grad_enabled():
        for tensor in arguments[:6]:
            if tensor is not None and tensor.requires_grad:
                rest: list[Tensor] = []
                y = _SwitchNorm.apply(*arguments[:6], arguments[6:15], rest)
                return y, *rest
    with torch._C._AutoDispatchBelowAutograd():
        outputs: tuple[Tensor, ...] = _forward(*arguments)
    return outputs


library.impl("switch_norm", _with_derivative, "Autograd")
