"""Time of one normalisation layer, forward and backward, against its peers in one run."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import normlib

PEERS: dict[str, Callable[[int], nn.Module]] = {
    "nn.BatchNorm2d": nn.BatchNorm2d,
    "nn.GroupNorm(32)": lambda channels: nn.GroupNorm(32, channels),
    "SN reference": normlib.SwitchNorm,
    "SN eager": normlib.SwitchNorm,
}
_BACKENDS = {"SN reference": "reference", "SN eager": "eager"}
LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}


@dataclass(frozen=True)
class Measurement:
    """One layer on one input.

    Attributes:
        shape: Shape of the input, (N, C, H, W).
        layout: ``'NCHW'`` or ``'NHWC'``.
        dtype: Data type of the input.
        device: Name of the processor or GPU.
        threads: Threads of PyTorch's pool.
        layer: Name in :data:`PEERS`.
        milliseconds: Median time of a forward and backward pass.
        to_batch_norm: Median over rounds of its time divided by nn.BatchNorm2d's in that round.
        to_plain_sn: The same against the reference backend.
        saved: Bytes saved for backward divided by the bytes of the input.
    """

    shape: tuple[int, ...]
    layout: str
    dtype: str
    device: str
    threads: int
    layer: str
    milliseconds: float
    to_batch_norm: float
    to_plain_sn: float
    saved: float


def measure(
    shape: Sequence[int],
    layout: str,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    layers: Iterable[str] = PEERS,
    rounds: int = 15,
) -> list[Measurement]:
    """Time layers on one input, interleaved: every round runs each of them once.

    Args:
        shape: Shape of the input, (N, C, H, W).
        layout: ``'NCHW'`` or ``'NHWC'``.
        dtype: Data type of the input; parameters are float32.
        device: Where to run.
        layers: Names in :data:`PEERS`; nn.BatchNorm2d and the reference are always measured.
        rounds: Rounds after two for warming up.
    """
    names = [n for n in PEERS if n in set(layers) | {"nn.BatchNorm2d", "SN reference"}]
    generator = torch.Generator().manual_seed(0)
    x, grad = (
        torch.randn(tuple(shape), generator=generator)
        .to(device, dtype)
        .to(memory_format=LAYOUTS[layout])
        for _ in range(2)
    )
    steps = {name: _step(name, x, grad) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    for k in range(rounds + 2):
        for name, step in steps.items():
            _synchronize(device)
            start = time.perf_counter()
            step()
            _synchronize(device)
            if k >= 2:
                times[name].append(time.perf_counter() - start)

    def ratio(name: str, peer: str) -> float:
        return statistics.median(a / b for a, b in zip(times[name], times[peer], strict=True))

    return [
        Measurement(
            tuple(shape),
            layout,
            str(dtype).removeprefix("torch."),
            torch.cuda.get_device_name(device) if x.is_cuda else _processor(),
            torch.get_num_threads(),
            name,
            1e3 * statistics.median(times[name]),
            ratio(name, "nn.BatchNorm2d"),
            ratio(name, "SN reference"),
            _saved(name, x),
        )
        for name in names
    ]


def report(measurements: Sequence[Measurement]) -> dict[str, Any]:
    """Measurements with the versions they hold for, as JSON data."""
    return {
        "torch": torch.__version__,
        "normlib": normlib.__version__,
        "measurements": [asdict(m) for m in measurements],
    }


def _step(name: str, x: Tensor, grad: Tensor) -> Callable[[], None]:
    layer = PEERS[name](x.shape[1]).to(x.device)
    leaf = x.detach().requires_grad_()

    def step() -> None:
        leaf.grad = None
        layer.zero_grad(set_to_none=True)
        with normlib.use_backend(_BACKENDS.get(name, "eager")):
            layer(leaf).backward(grad)

    return step


def _saved(name: str, x: Tensor) -> float:
    """Bytes that a forward pass keeps for backward, in units of the input."""
    layer = PEERS[name](x.shape[1]).to(x.device)
    parameters = {p.data_ptr() for p in layer.parameters()}
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in parameters:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, normlib.use_backend(_BACKENDS.get(name, "eager")):
        y = layer(x.detach().requires_grad_())
    del y
    return sum(storages.values()) / x.untyped_storage().nbytes()


def _synchronize(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
