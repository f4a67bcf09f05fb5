"""Real processes with a gloo group, kept alive so that a test pays for its work alone."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


class RankPool:
    """``world_size`` processes in one gloo group."""

    def __init__(self, world_size: int) -> None:
        context = mp.get_context("spawn")
        store = tempfile.mktemp(prefix="ranks_")
        self._connections = []
        self._processes = []
        for rank in range(world_size):
            here, there = context.Pipe()
            process = context.Process(
                target=_serve, args=(there, rank, world_size, store), daemon=True
            )
            process.start()
            self._connections.append(here)
            self._processes.append(process)

    def run(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Call ``function(rank, *args)`` on every rank; results in the order of ranks.

        Raises:
            AssertionError: A rank failed, or gave no answer within a minute.
        """
        for connection in self._connections:
            connection.send((function, args))
        results, failures = [], []
        for rank, connection in enumerate(self._connections):
            assert connection.poll(60), f"rank {rank} gave no answer"
            ok, value = connection.recv()
            (results if ok else failures).append(value)
        assert not failures, "\n".join(failures)
        return results

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.join()


def _serve(connection: Any, rank: int, world_size: int, store: str) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=30),
    )
    while True:
        try:
            function, args = connection.recv()
            connection.send((True, function(rank, *args)))
        except BaseException:
            connection.send((False, f"rank {rank}:\n{traceback.format_exc()}"))
