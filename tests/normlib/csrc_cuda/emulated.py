"""The CUDA kernels, compiled by g++ against ``host/`` and called through ctypes."""

from __future__ import annotations

import ctypes
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_bool, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint, c_void_p
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

HOST = Path(__file__).parent / "host"
SOURCES = Path(__file__).parents[3] / "normlib" / "csrc" / "cuda"
COMPILER = "g++"


class Settings(ctypes.Structure):
    _fields_ = [
        ("normalizers", c_uint),
        ("unbiased", c_bool),
        ("relu", c_bool),
        ("eps", c_double),
    ]


_FORWARD = ("x", "residual", "y", "mask", "mean_ratios", "var_ratios", "weight", "bias")
_STATISTICS = ("offset", "variance", "layer", "channel")
_BATCH = ("batch", "running_mean", "running_var")
_BACKWARD = (
    *("grad", "sums", "layer_grad", "channel_grad", "dweight", "dbias"),
    *("dmean_ratios", "dvar_ratios", "dx", "dresidual"),
)


class Problem(ctypes.Structure):
    """``normlib::Problem``; tensors are kept alive by whoever fills it."""

    _fields_ = [
        ("dtype", c_int),
        ("samples", c_int64),
        ("channels", c_int64),
        ("positions", c_int64),
        ("bytes", c_int64),
        ("channels_last", c_bool),
        ("settings", Settings),
        *((name, c_void_p) for name in (*_FORWARD, "fixed_mean", "fixed_var", *_STATISTICS)),
        ("continued", c_bool),
        *((name, c_void_p) for name in _BATCH),
        ("momentum", c_double),
        *((name, c_void_p) for name in _BACKWARD),
    ]

    def point_to(self, **tensors: Tensor | None) -> None:
        for name, tensor in tensors.items():
            setattr(self, name, None if tensor is None else tensor.data_ptr())


class SparsestProblem(ctypes.Structure):
    """``normlib::SparsestProblem``."""

    _fields_ = [
        ("wide", c_bool),
        ("wide_radius", c_bool),
        ("rows", c_int64),
        ("count", c_int),
        *((name, c_void_p) for name in ("logits", "radius", "ratios", "jacobian")),
    ]


class Device(ctypes.Structure):
    _fields_ = [
        ("multiprocessors", c_int),
        ("shared_memory", c_size_t),
        ("cooperative", c_bool),
    ]


class Kernels:
    """The functions of ``kernels.h``; they raise what those return."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.problem_bytes.restype = c_size_t
        self._library.workspace_bytes.restype = c_size_t
        self._library.fits_on_chip.restype = c_bool
        self._library.sparsest_problem_bytes.restype = c_size_t
        assert self._library.problem_bytes() == ctypes.sizeof(Problem)
        assert self._library.sparsest_problem_bytes() == ctypes.sizeof(SparsestProblem)

    def workspace_bytes(self, problem: Problem, device: Device) -> int:
        return self._library.workspace_bytes(ctypes.byref(problem), ctypes.byref(device))

    def fits_on_chip(self, problem: Problem, device: Device) -> bool:
        return self._library.fits_on_chip(ctypes.byref(problem), ctypes.byref(device))

    def enqueue(self, name: str, problem: Problem, device: Device, workspace: Tensor) -> None:
        self._call(
            name, ctypes.byref(problem), ctypes.byref(device), c_void_p(workspace.data_ptr())
        )

    def merge(self, gathered: Tensor, batch: Tensor) -> None:
        processes, row = gathered.shape
        self._call(
            "merge",
            c_void_p(gathered.data_ptr()),
            c_int64(processes),
            c_int64(row // 2),
            c_void_p(batch.data_ptr()),
        )

    def sparsestmax(self, logits: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        rows, count = logits.shape
        ratios, jacobian = logits.new_empty(rows, count), logits.new_empty(rows, count, count)
        wide = [tensor.dtype == torch.float64 for tensor in (logits, radius)]
        pointers = [tensor.data_ptr() for tensor in (logits, radius, ratios, jacobian)]
        self._call("sparsestmax", ctypes.byref(SparsestProblem(*wide, rows, count, *pointers)))
        return ratios, jacobian

    def reverse(self, value: bool) -> None:
        """Let blocks and threads take turns from the last to the first."""
        self._library.reverse(c_bool(value))

    def _call(self, name: str, *arguments: Any) -> None:
        function = self._library[name]
        function.restype = c_char_p
        error = function(*arguments)
        if error is not None:
            raise RuntimeError(f"{name}: {error.decode()}")


def build(folder: Path) -> Kernels:
    flags = ["-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", f"-I{HOST}", "-x", "c++"]
    warnings = ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]

    def compiled(source: Path) -> str:
        target = folder / f"{source.name}.o"
        command = [COMPILER, *flags, *warnings, "-c", str(source), "-o", str(target)]
        subprocess.run(command, check=True)
        return str(target)

    sources = [*SOURCES.glob("*.cu"), *HOST.glob("*.cc")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiled, sources))
    library = folder / "normlib_cuda_on_host.so"
    subprocess.run([COMPILER, "-shared", "-pthread", *objects, "-o", str(library)], check=True)
    return Kernels(library)
