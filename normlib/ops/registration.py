"""The backends, and the choice between them.

A backend is a function with the signature of :func:`normlib.ops.reference.switch_norm`.
``NORMLIB_BACKEND`` in the environment, or :func:`use_backend`, forces one by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from normlib.ops import autograd, eager, eager_cpu, reference
from normlib.ops.passes import Passes

Backend = Callable[..., tuple[Tensor, Tensor | None, Tensor | None, Tensor | int]]


def _eager(*arguments: Any) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | int]:
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    on_cpu = arguments[0].device.type == "cpu" and not traced
    passes: Passes = eager_cpu if on_cpu else eager
    function: Backend = autograd.switch_norm
    return function(*arguments, passes)


BACKENDS: dict[str, Backend] = {
    "reference": reference.switch_norm,
    "eager": _eager,
}


class BackendInfo(NamedTuple):
    """The backend in use and why."""

    name: str
    reason: str


def _choose() -> BackendInfo:
    forced = os.environ.get("NORMLIB_BACKEND", "")
    if not forced:
        return BackendInfo("eager", "PyTorch alone; the fastest backend of this installation")
    return BackendInfo(_check(forced, "NORMLIB_BACKEND"), "set by NORMLIB_BACKEND")


def _check(name: str, source: str) -> str:
    if name not in BACKENDS:
        raise ValueError(f"{source} is {name!r}; the backends are {', '.join(sorted(BACKENDS))}")
    return name


_current: BackendInfo | None = None


def backend() -> BackendInfo:
    """The backend that :func:`normlib.functional.switch_norm` uses, and why.

    Raises:
        ValueError: ``NORMLIB_BACKEND`` names no backend.
    """
    global _current
    if _current is None:
        _current = _choose()
    return _current


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Use the named backend within a ``with`` block.

    Args:
        name: ``'eager'`` or ``'reference'``.

    Raises:
        ValueError: There is no backend of that name.
    """
    global _current
    previous = _current
    _current = BackendInfo(_check(name, "backend"), "set by use_backend")
    try:
        yield
    finally:
        _current = previous
