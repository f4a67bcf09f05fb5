"""The backends, and the choice between them.

A backend is a function with the signature of :func:`normlib.ops.reference.switch_norm`.
``NORMLIB_BACKEND`` in the environment, or :func:`use_backend`, forces one by name.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from normlib.ops import autograd, eager, eager_cpu, native, reference
from normlib.ops import sparsestmax as sparsest
from normlib.ops.passes import Passes

Backend = Callable[..., Tensor]

_logger = logging.getLogger("normlib")


def _is_transformed() -> bool:
    """Whether a call has to be made of PyTorch's own operators, each with all its derivatives."""
    if torch.compiler.is_compiling():
        return False
    return forward_ad._current_level >= 0 or torch._C._are_functorch_transforms_active()


def _eager(*arguments: Any) -> Tensor:
    if _is_transformed():
        return reference.switch_norm(*arguments)
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    on_cpu = arguments[0].device.type == "cpu" and not traced
    passes: Passes = eager_cpu if on_cpu else eager
    function: Backend = autograd.switch_norm
    return function(*arguments, passes)


def _native(*arguments: Any) -> Tensor:
    # A trace is to hold PyTorch's own operators, which other programs know.
    if torch.jit.is_tracing() or not native.serves(arguments[0]) or _is_transformed():
        return _eager(*arguments)
    return native.switch_norm(*arguments)


BACKENDS: dict[str, Backend] = {
    "reference": reference.switch_norm,
    "eager": _eager,
    "native": _native,
}


def sparsestmax(logits: Tensor, radius: float | Tensor) -> Tensor:
    """As :func:`normlib.functional.sparsestmax`, compiled where the backend in use is."""
    compiled = (
        backend().name == "native"
        and native.serves(logits)
        and sparsest.fits_native(logits, radius)
        and not (torch.jit.is_tracing() or _is_transformed())
    )
    return (sparsest.native if compiled else sparsest.reference)(logits, radius)


# Before anything is traced: torch.compile cannot follow the loading of a library.
for _device in ("cpu", "cuda"):
    native.availability(_device)


class BackendInfo(NamedTuple):
    """The backend in use and why."""

    name: str
    reason: str


def _choose() -> BackendInfo:
    forced = os.environ.get("NORMLIB_BACKEND", "")
    if forced:
        _check(forced, "NORMLIB_BACKEND")
        reason = f"set by NORMLIB_BACKEND{_devices() if forced == 'native' else ''}"
        return BackendInfo(forced, reason)
    cpu = native.availability("cpu")
    if cpu.ready:
        return BackendInfo("native", f"the fastest of this installation{_devices()}")
    return BackendInfo("eager", f"PyTorch alone; no compiled kernels: {cpu.reason}")


def _devices() -> str:
    """The devices that have compiled kernels, and why the others have none."""
    cpu, cuda = native.availability("cpu"), native.availability("cuda")
    where = f"; compiled for the CPU ({cpu.reason})"
    if cuda.ready:
        return f"{where} and for CUDA ({cuda.reason})"
    return f"{where}; on CUDA eager ({cuda.reason})" if torch.cuda.is_available() else where


def _check(name: str, source: str) -> None:
    if name not in BACKENDS:
        raise ValueError(f"{source} is {name!r}; the backends are {', '.join(sorted(BACKENDS))}")
    if name == "native" and not native.availability("cpu").ready:
        raise ValueError(
            f"{source} is 'native', and there are no compiled kernels: "
            f"{native.availability('cpu').reason}"
        )


_current: BackendInfo | None = None


def backend() -> BackendInfo:
    """The backend that :func:`normlib.functional.switch_norm` uses, and why.

    Raises:
        ValueError: ``NORMLIB_BACKEND`` names no backend, or one that cannot serve here.
    """
    global _current
    if _current is None:
        _current = _choose()
        _logger.info("backend: %s (%s)", *_current)
    return _current


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Use the named backend within a ``with`` block.

    Args:
        name: ``'native'``, ``'eager'`` or ``'reference'``.

    Raises:
        ValueError: There is no backend of that name, or it cannot serve here.
    """
    global _current
    previous = _current
    _check(name, "backend")
    _current = BackendInfo(name, "set by use_backend")
    try:
        yield
    finally:
        _current = previous
