"""What the timings of data loaders share."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from mmengine.dataset import worker_init_fn


def seed_worker(worker: int) -> None:
    """Start a worker process as a training starts it, with one thread."""
    torch.set_num_threads(1)
    worker_init_fn(worker, 0, 0, 0)


def seconds_of(run: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
