"""Time and memory of things that run interleaved with their peers, on a CPU or a GPU."""

from __future__ import annotations

import ctypes
import platform
import random
import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.autograd import profiler

Key = TypeVar("Key", bound=Hashable)
Step = Callable[[], object]

# Options of glibc's mallopt: how many blocks are mapped on their own, and what is given back.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
# Cycles that the GPU waits before a timed step, about 2 ms, while the host queues its kernels.
_HEAD_START = 4_000_000


def time_interleaved(
    steps: Mapping[Key, Step],
    device: torch.device,
    rounds: int,
    warmup: int = 3,
    host: bool = False,
) -> dict[Key, list[float]]:
    """Seconds of each step in each round; every round runs all of them, in random order.

    On a GPU it is the time between two events: its caches are flushed before, and the host has a
    head start, so that short steps are not timed by how fast they are launched.

    Args:
        steps: What to time, by name.
        device: Where the steps run.
        rounds: Rounds that count.
        warmup: Rounds before them.
        host: Take the time of the host on a GPU too, from the call until the GPU is done.
    """
    on_gpu = device.type == "cuda"
    clock = _EventClock(device) if on_gpu and not host else _host_clock
    times: dict[Key, list[float]] = {name: [] for name in steps}
    order, shuffler = list(steps), random.Random(0)
    for k in range(warmup + rounds):
        shuffler.shuffle(order)
        for name in order:
            seconds = clock(steps[name])
            if k >= warmup:
                times[name].append(seconds)
    return times


def keep_freed_memory() -> bool:
    """Have the C library keep freed memory for the rest of this process.

    By default glibc gives large blocks back, and the operating system clears every page that the
    next tensor touches, which takes about as long as a layer does. Whether a step waits for that
    depends on what ran before it. Other allocators keep the memory of a process.

    Returns:
        Whether memory is kept from now on; False where the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    set_option = ctypes.CDLL(None).mallopt
    return bool(set_option(_M_MMAP_MAX, 0) and set_option(_M_TRIM_THRESHOLD, -1))


def ratio(times: Sequence[float], others: Sequence[float]) -> float:
    """Median over rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


def peak_bytes(step: Step, device: torch.device) -> int:
    """Most memory that a step has allocated at a time, above what was allocated before.

    Counts what comes from the allocators of torch, whoever asks: operators written in C++ and
    compiled kernels as well. A kernel that calls malloc by itself is not seen; a buffer that is
    never touched is (torch's batch norm has one on the CPU).
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profiler.profile(profile_memory=True) as profile:
        step()
    assert profile.kineto_results is not None
    events = [e for e in profile.kineto_results.events() if e.name() == "[memory]"]
    allocated = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        allocated += event.nbytes()
        peak = max(peak, allocated)
    return peak


def saved_bytes(forward: Step, without: Sequence[Tensor] = ()) -> int:
    """Bytes that a forward pass keeps for backward, those of some tensors left out."""
    known = {tensor.untyped_storage().data_ptr() for tensor in without}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = forward()
    del output
    return sum(sizes.values())


def _host_clock(step: Step) -> float:
    gpu = torch.cuda.is_initialized()
    if gpu:
        torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    if gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start


class _EventClock:
    def __init__(self, device: torch.device) -> None:
        cache = torch.cuda.get_device_properties(device).L2_cache_size
        self.scratch = torch.empty(4 * cache, dtype=torch.uint8, device=device)
        self.events = tuple(torch.cuda.Event(enable_timing=True) for _ in range(2))

    def __call__(self, step: Step) -> float:
        start, stop = self.events
        self.scratch.zero_()
        torch.cuda._sleep(_HEAD_START)
        start.record()
        step()
        stop.record()
        stop.synchronize()
        return 1e-3 * start.elapsed_time(stop)
