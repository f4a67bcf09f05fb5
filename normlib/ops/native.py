"""The backend of compiled kernels, on CPUs and CUDA devices.

The libraries are built when the package is installed (``csrc/build.py``) and lie in
``normlib/lib``. Where one is missing, the eager backend serves its devices.
"""

from __future__ import annotations

import ctypes
import json
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from normlib.ops import operators, sync
from normlib.ops.first_order import first_order
from normlib.ops.precision import accumulation_dtype
from normlib.ops.running import Running
from normlib.ops.settings import NORMALIZERS, Settings

LIBRARIES = Path(__file__).parent.parent / "lib"
# The first release whose stable ABI has all that the libraries use.
_OLDEST_TORCH = (2, 10)
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class Availability(NamedTuple):
    """Whether the kernels of a device type are there, and what they are or why not."""

    ready: bool
    reason: str


# Device types whose kernels are loaded; a plain set, which torch.compile can look into.
_loaded: set[str] = set()


@cache
def availability(device_type: str) -> Availability:
    """Load the kernels of ``'cpu'`` or ``'cuda'``, once, and say whether that has worked."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < _OLDEST_TORCH:
        needed = ".".join(map(str, _OLDEST_TORCH))
        return Availability(False, f"they need torch {needed}, this is {torch.__version__}")
    path = LIBRARIES / f"libnormlib_{device_type}.so"
    if not path.is_file():
        return Availability(False, _build_notes().get(device_type, "they were not built"))
    try:
        torch.ops.load_library(path)
    except OSError as error:
        return Availability(False, f"{path.name} cannot be loaded: {error}")
    _loaded.add(device_type)
    if device_type == "cpu":
        library = ctypes.CDLL(str(path))
        library.normlib_instruction_set.restype = ctypes.c_char_p
        return Availability(True, library.normlib_instruction_set().decode())
    return Availability(True, _build_notes().get("cuda", ""))


def _build_notes() -> dict[str, str]:
    """What the build wrote down for each device type."""
    try:
        notes: dict[str, str] = json.loads((LIBRARIES / "build.json").read_text())
    except (OSError, ValueError):
        notes = {}
    return notes


def serves(x: Tensor) -> bool:
    """Whether kernels that :func:`availability` has loaded can take this input."""
    return x.device.type in _loaded and x.dtype in DTYPES


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
    """As :func:`normlib.ops.reference.switch_norm`; first derivatives only."""
    dtype = accumulation_dtype(x)
    vectors = [
        v if v is None or (v.dtype is dtype and v.is_contiguous()) else v.to(dtype).contiguous()
        for v in (mean_ratios, var_ratios, weight, bias, fixed_mean, fixed_var)
    ]
    options = (_BITS[settings.normalizers], settings.unbiased, settings.eps, settings.relu)
    batch_from_x = "bn" in settings.normalizers and fixed_mean is None
    if batch_from_x and settings.group is not None:
        y, batch = _Synchronized.apply(x, residual, *vectors, *options, settings.group)
        if running is not None:
            count, mean, var = batch.split([1, x.shape[1], x.shape[1]])
            running.update(mean, var, count.squeeze(0))
        return y
    buffers: tuple[Tensor | None, Tensor | None, float] = (None, None, 0.0)
    if batch_from_x and running is not None:
        tensors = (running.mean, running.var)
        fit = all(t.dtype is dtype and t.is_contiguous() for t in tensors)
        if running.momentum is not None and fit:
            buffers = (running.mean, running.var, running.momentum)
            running = None
    else:
        running = None
    y, channel = operators.switch_norm(x, residual, *vectors, *buffers, *options)
    if buffers[0] is not None and not torch.compiler.is_compiling():
        # The kernels write where autograd does not look.
        torch.autograd.graph.increment_version([t for t in buffers[:2] if t is not None])
    if running is not None:
        _, mean, var = channel.split([1, x.shape[1], x.shape[1]])
        running.update(mean, var, x.shape[0] * x.shape[2:].numel())
    return y


_BITS = {
    subset: sum(1 << NORMALIZERS.index(name) for name in subset)
    for size in range(1, 1 + len(NORMALIZERS))
    for subset in combinations(NORMALIZERS, size)
}


class _Synchronized(torch.autograd.Function):
    """The operators with one collective between them in the forward and one in the backward."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, residual: Tensor | None, *arguments: Any
    ) -> tuple[Tensor, ...]:
        *mixing, normalizers, unbiased, eps, relu, group = arguments
        kernels = torch.ops.normlib
        instance, layer, channel = kernels.statistics(x, None, None, normalizers, unbiased)
        batch = kernels.merge(sync.gather(channel, group))
        options = (normalizers, unbiased, eps, relu)
        keep_mask = relu and residual is not None
        y, mask = kernels.apply(
            x, residual, instance, layer, channel, batch, *mixing, *options, keep_mask
        )
        mask = mask if keep_mask else None
        ctx.save_for_backward(x, mask, instance, layer, channel, batch, *mixing)
        ctx.options = options
        ctx.group = group
        ctx.mark_non_differentiable(batch)
        return y, batch

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        needs = ctx.needs_input_grad
        relu = ctx.options[-1]
        kernels = torch.ops.normlib
        arguments = (grad, *ctx.saved_tensors, *ctx.options)
        sums, layer_grad, channel_grad, dweight, dbias = kernels.backward_reduce(*arguments)
        if needs[0]:
            sync.sum_in_place(channel_grad, ctx.group)
        dx, dresidual, dmean, dvar = kernels.backward_apply(
            *arguments, sums, layer_grad, channel_grad, needs[0], needs[1] and relu
        )
        if needs[1] and not relu:
            dresidual = grad
        gradients = (dx, dresidual, dmean, dvar, dweight, dbias)
        return *(g if n else None for g, n in zip(gradients, needs, strict=False)), *(None,) * 7
