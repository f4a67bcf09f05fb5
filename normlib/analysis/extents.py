"""Receptive fields from operator to operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from torch import Tensor


class Side(NamedTuple):
    """Receptive field and stride along one dimension, in pixels."""

    field: float = 1
    stride: Fraction = Fraction(1)

    def window(self, taps: int, spacing: int = 1) -> Side:
        """After a window of some positions at a distance."""
        return self._replace(field=self.field + float((taps - 1) * spacing * self.stride))

    def strided(self, factor: Fraction | int) -> Side:
        """With positions that are so many times as far apart."""
        return self._replace(stride=self.stride * factor)


class Extent(NamedTuple):
    """Receptive field and stride of the last two dimensions."""

    height: Side = Side()
    width: Side = Side()

    def rounded(self) -> tuple[int, int] | None:
        """The larger field and stride, in whole pixels; None where the field is not bounded."""
        field = max(side.field for side in self)
        if math.isinf(field):
            return None
        return math.ceil(field), math.ceil(max(side.stride for side in self))


#: Of the network's input.
PIXEL = Extent()


def larger(extents: Sequence[Extent]) -> Extent:
    """The largest values of some extents, at least one."""
    sides = zip(*extents, strict=True)
    return Extent(*(Side(*map(max, zip(*each, strict=True))) for each in sides))


def _unbounded(extent: Extent) -> Extent:
    return Extent(*(side._replace(field=math.inf) for side in extent))


def follow(
    name: str, known: Extent | None, arguments: Mapping[str, Any], result: Any
) -> Extent | None:
    """The extent of what an operator returns.

    Args:
        name: The operator, without its library.
        known: The largest extent of its arguments; None where none depends on the network's input,
            or where that input itself is read.
        arguments: By the names of its schema.
        result: What it returned.
    """
    if rule := _RULES.get(name):
        return rule(known or PIXEL, arguments, result)
    if known is not None and (name in _GLOBAL or _reduces_space(name, arguments)):
        return _unbounded(known)
    return known


def _convolution(extent: Extent, arguments: Mapping[str, Any], result: Any) -> Extent:
    kernel = arguments["weight"].shape[2:]
    steps, spacings = arguments["stride"], arguments["dilation"]
    if not arguments["transposed"]:
        return _windows(extent, kernel, steps, spacings)
    sides = []
    windows = map(_pair, (kernel, steps, spacings))
    for side, size, step, spacing in zip(extent, *windows, strict=True):
        # A position of the output is reached from every step-th position of the kernel.
        taps = math.ceil(((size - 1) * spacing + 1) / step)
        sides.append(side.window(taps).strided(Fraction(1, step)))
    return Extent(*sides)


def _pooling(extent: Extent, arguments: Mapping[str, Any], result: Any) -> Extent:
    kernel = arguments["kernel_size"]
    spacings = arguments.get("dilation", (1,))
    return _windows(extent, kernel, arguments.get("stride") or kernel, spacings)


def _windows(
    extent: Extent, kernel: Sequence[int], steps: Sequence[int], spacings: Sequence[int]
) -> Extent:
    sides = zip(extent, *map(_pair, (kernel, steps, spacings)), strict=True)
    return Extent(*(s.window(size, spacing).strided(step) for s, size, step, spacing in sides))


def _resizing(taps: int) -> Callable[[Extent, Mapping[str, Any], Any], Extent]:
    """The rule of a method that takes so many neighbours along each side."""

    def rule(extent: Extent, arguments: Mapping[str, Any], result: Any) -> Extent:
        source = arguments.get("self", arguments.get("input")).shape[2:]
        sides = []
        sizes = _pair(source), _pair(result.shape[2:])
        for side, before, after in zip(extent, *sizes, strict=True):
            # Of 7 positions, 13 are made where the next larger map has 13: strides stay whole.
            ratio = after / before
            factor = Fraction(1, round(ratio)) if ratio > 1 else Fraction(round(1 / ratio))
            sides.append((side.window(taps) if factor != 1 else side).strided(factor))
        return Extent(*sides)

    return rule


def _pair(values: Sequence[int]) -> tuple[int, int]:
    """The values of the last two dimensions; of sequences, a height of 1."""
    return (1, values[0]) if len(values) == 1 else (values[-2], values[-1])


def _reduces_space(name: str, arguments: Mapping[str, Any]) -> bool:
    tensor = arguments.get("self")
    if name not in _REDUCTIONS or not isinstance(tensor, Tensor) or tensor.dim() < 3:
        return False
    dims = arguments.get("dim")
    every = dims if isinstance(dims, list | tuple) else [] if dims is None else [dims]
    return not every or any(dim % tensor.dim() >= 2 for dim in every)


_RULES: dict[str, Callable[[Extent, Mapping[str, Any], Any], Extent]] = {
    "convolution": _convolution,
    **{f"{kind}_pool{n}d": _pooling for kind in ("avg", "max") for n in (1, 2, 3)},
    **{f"max_pool{n}d_with_indices": _pooling for n in (2, 3)},
    **{f"upsample_nearest{n}d": _resizing(1) for n in (1, 2, 3)},
    **{f"_upsample_nearest_exact{n}d": _resizing(1) for n in (1, 2, 3)},
    "upsample_linear1d": _resizing(2),
    "upsample_bilinear2d": _resizing(2),
    "upsample_trilinear3d": _resizing(2),
    "upsample_bicubic2d": _resizing(4),
}
#: Operators that leave in a tensor what depends on no input.
FILLING = {"bernoulli_", "exponential_", "fill_", "normal_", "uniform_", "zero_"}
_REDUCTIONS = {"amax", "amin", "logsumexp", "max", "mean", "min", "std", "sum", "var", "var_mean"}
# Every position of the result may depend on every one of the input. Extensions that bypass the
# dispatcher fill the tensor that new_empty or new_zeros gives them.
_GLOBAL = {
    *(f"_adaptive_avg_pool{n}d" for n in (2, 3)),
    *(f"adaptive_max_pool{n}d" for n in (2, 3)),
    "addbmm",
    "addmm",
    "baddbmm",
    "bmm",
    "deform_conv2d",
    "grid_sampler_2d",
    "grid_sampler_3d",
    "linear",
    "mm",
    "mv",
    "new_empty",
    "new_zeros",
    "ps_roi_align",
    "ps_roi_pool",
    "roi_align",
    "roi_pool",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
}
