"""Time and memory of one normalisation layer against its peers, in one interleaved run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

import normlib
from normlib.analysis.layer_peers import PEERS, Peer
from normlib.analysis.stopwatch import peak_bytes, ratio, saved_bytes, time_interleaved

LAYOUTS = ("NCHW", "NHWC")
MODES = ("train", "eval")
DTYPES = ("float32", "bfloat16", "float16")
#: Layers that are compared unless others are named: all but those that take long to compile.
DEFAULT = tuple(name for name, peer in PEERS.items() if not (peer.compiled and peer.tail))
#: Input of a few numbers, on which a call takes what the host needs for it.
OVERHEAD_SHAPE = (2, 8, 4, 4)
_COPY = ("copy", "forward")
#: Errors by which a layer says that it cannot run here; any other is a mistake.
UNAVAILABLE = (RuntimeError, ValueError, ImportError, OSError)


@dataclass(frozen=True)
class Case:
    """An input, and how the layers run on it.

    Attributes:
        shape: Shape of the input, (N, C, H, W) or (N, C, D, H, W).
        layout: ``'NCHW'`` or ``'NHWC'``; for 5-D inputs NCDHW and NDHWC.
        dtype: Data type of the input; one of :data:`DTYPES`.
        device: Where to run.
        threads: Threads of PyTorch's pool.
        mode: ``'train'``, or ``'eval'``: running statistics, and a forward pass without graph.
    """

    shape: tuple[int, ...]
    layout: str = "NCHW"
    dtype: str = "float32"
    device: str = "cpu"
    threads: int = 1
    mode: str = "train"

    def tensor(self, seed: int) -> Tensor:
        """Random numbers in this shape and layout."""
        generator = torch.Generator(self.device).manual_seed(seed)
        x = torch.randn(self.shape, generator=generator, device=self.device)
        return x.to(getattr(torch, self.dtype)).contiguous(memory_format=self.memory_format)

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout, as torch calls it."""
        if self.layout == "NCHW":
            return torch.contiguous_format
        return torch.channels_last_3d if len(self.shape) == 5 else torch.channels_last

    @property
    def bytes(self) -> int:
        """Size of the input."""
        return torch.Size(self.shape).numel() * getattr(torch, self.dtype).itemsize


@dataclass(frozen=True)
class Speed:
    """Time of a pass.

    Attributes:
        milliseconds: Median over rounds.
        ratios: Median over rounds of the time divided by that of a rival in the same round, for
            each rival of :data:`normlib.analysis.layer_peers.RATIOS` that was measured.
        gigabytes_per_second: Least bytes to move, divided by the median time.
        of_copy: The same divided by what a copy of the input reaches, median over rounds.
    """

    milliseconds: float
    ratios: dict[str, float]
    gigabytes_per_second: float
    of_copy: float


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes:
        layer: Name in :data:`normlib.analysis.layer_peers.PEERS`.
        forward: Forward pass.
        forward_backward: Forward and backward pass.
        saved: Bytes saved for backward divided by the bytes of the input.
        peak: Most memory that forward and backward allocate at a time, output and gradient of the
            input included, divided by the bytes of the input.
    """

    layer: str
    forward: Speed
    forward_backward: Speed
    saved: float
    peak: float


@dataclass(frozen=True)
class Comparison:
    """Layers on one input.

    Attributes:
        case: The input.
        batch_norm: Which kernel nn.BatchNorm runs: ATen, cuDNN with its version, or MIOpen.
        copy: What copying the input into existing memory reaches, in GB/s (reads and writes).
        rows: The layers, in the order of :data:`normlib.analysis.layer_peers.PEERS`.
        left_out: Layers that could not be measured, and why.
    """

    case: Case
    batch_norm: str
    copy: float
    rows: list[Row]
    left_out: dict[str, str]


def measure(case: Case, layers: Collection[str] = DEFAULT, rounds: int = 15) -> Comparison:
    """Time layers on one input, interleaved.

    Args:
        case: The input.
        layers: Names in :data:`normlib.analysis.layer_peers.PEERS`. nn.BatchNorm, plain SN and the
            unfused form of what is fused are measured whether named or not.
        rounds: Rounds after those for warming up.
    """
    return _measure(case, layers, rounds, calls=1)


def call_overhead(case: Case, layers: Collection[str] = DEFAULT, rounds: int = 15) -> Comparison:
    """Time layers on a tensor of a few numbers: what a call costs the host.

    Args:
        case: As for :func:`measure`, of shape :data:`OVERHEAD_SHAPE`; 1 thread says most.
        layers: As for :func:`measure`.
        rounds: Rounds of 20 calls.
    """
    return _measure(case, layers, rounds, calls=20)


def _measure(case: Case, layers: Collection[str], rounds: int, calls: int) -> Comparison:
    names = _with_rivals(layers)
    x, grad, residual = (case.tensor(seed) for seed in range(3))
    with threads(case.threads), _compiler(names) as frozen:
        candidates, left_out = {}, {}
        for name in names:
            try:
                candidates[name] = _Candidate(PEERS[name], case.mode == "train", x, residual, grad)
            except UNAVAILABLE as error:
                left_out[name] = reason(error)
        steps: dict[tuple[str, str], Callable[[], object]] = {}
        for name, candidate in candidates.items():
            steps[name, "forward"] = partial(candidate.forward, calls)
            steps[name, "both"] = partial(candidate.forward_backward, calls)
        steps[_COPY] = partial(_repeat, partial(torch.empty_like(x).copy_, x), calls)
        with frozen():
            times = time_interleaved(steps, x.device, rounds, host=calls > 1)
        times = {key: [s / calls for s in seconds] for key, seconds in times.items()}
        rows = [
            Row(
                name,
                _speed(times, name, "forward", case),
                _speed(times, name, "both", case),
                candidate.saved() / case.bytes,
                peak_bytes(candidate.forward_backward, x.device) / case.bytes,
            )
            for name, candidate in candidates.items()
        ]
    copy = 2e-9 * case.bytes / statistics.median(times[_COPY])
    return Comparison(case, _batch_norm_kernel(x, case), copy, rows, left_out)


class _Candidate:
    """A layer with its inputs, warmed up and compiled."""

    def __init__(
        self, peer: Peer, training: bool, x: Tensor, residual: Tensor, grad: Tensor
    ) -> None:
        self.backend, self.training, self.grad = peer.backend, training, grad
        inputs = (x, residual) if peer.tail == "add relu" else (x,)
        self.inputs = [t.detach().requires_grad_() for t in inputs]
        with backend_context(self.backend):
            self.layer = peer.build(x, training)
        self.parameters = list(self.layer.parameters())
        for _ in range(2):
            self.forward()
            self.forward_backward()

    def forward(self, calls: int = 1) -> None:
        with backend_context(self.backend), torch.set_grad_enabled(self.training):
            _repeat(partial(self.layer, *self.inputs), calls)

    def forward_backward(self, calls: int = 1) -> None:
        leaves = (*self.inputs, *self.parameters)
        with backend_context(self.backend):
            for _ in range(calls):
                torch.autograd.grad(self.layer(*self.inputs), leaves, self.grad)

    def saved(self) -> int:
        with backend_context(self.backend):
            return saved_bytes(partial(self.layer, *self.inputs), without=self.parameters)


def _speed(times: Mapping[tuple[str, str], list[float]], name: str, part: str, case: Case) -> Speed:
    peer = PEERS[name]
    passes = peer.passes(case.mode == "train")[part == "both"]
    own = times[name, part]
    seconds = statistics.median(own)
    return Speed(
        1e3 * seconds,
        {
            label: ratio(own, times[rival, part])
            for label, rival in peer.rivals().items()
            if (rival, part) in times
        },
        1e-9 * passes * case.bytes / seconds,
        passes / 2 * ratio(times[_COPY], own),
    )


def _with_rivals(layers: Collection[str]) -> list[str]:
    """These layers and those that every run needs, in the order of PEERS."""
    needed = set(layers) | {"nn.BatchNorm", "SN reference"}
    for name in layers:
        rivals = PEERS[name].rivals()
        needed |= {rivals[label] for label in ("nn.BatchNorm", "unfused") if label in rivals}
    return [name for name in PEERS if name in needed]


def _repeat(step: Callable[[], object], calls: int) -> None:
    for _ in range(calls):
        step()


def _batch_norm_kernel(x: Tensor, case: Case) -> str:
    """Which implementation torch chooses for nn.BatchNorm on this input."""
    weight, bias, mean, var = torch.ones(4, x.shape[1], device=x.device)
    options = (case.mode == "train", 0.1, 1e-5, torch.backends.cudnn.enabled)
    *_, chosen = torch._batch_norm_impl_index(x, weight, bias, mean, var, *options)
    return ("ATen", f"cuDNN {torch.backends.cudnn.version()}", "MIOpen")[chosen]


@contextmanager
def _compiler(names: Collection[str]) -> Iterator[Callable[[], AbstractContextManager[object]]]:
    """A fresh compiler, where one is needed, and the context in which it must not compile again."""
    if not any(PEERS[name].compiled for name in names):
        yield nullcontext
        return
    torch.compiler.reset()
    try:
        yield lambda: torch.compiler.set_stance("fail_on_recompile")
    finally:
        torch.compiler.reset()


def backend_context(name: str | None) -> AbstractContextManager[None]:
    """Within it, normlib uses this backend; None for the layers of torch."""
    return normlib.use_backend(name) if name else nullcontext()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Within it, PyTorch's pool has this many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def reason(error: Exception) -> str:
    """First line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
