"""Real processes with a gloo group, kept alive so that a test pays for its work alone."""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

# In seconds, for a busy machine; the first answer includes what the processes import.
_ANSWER = 240.0
_COLLECTIVE = 120.0


class RankPool:
    """``world_size`` processes in one gloo group.

    Attributes:
        closed: Whether they have been ended.
    """

    def __init__(self, world_size: int) -> None:
        context = mp.get_context("spawn")
        self.closed = False
        self._folder = tempfile.TemporaryDirectory(prefix="ranks_")
        store = Path(self._folder.name, "store")
        self._connections = []
        self._processes = []
        for rank in range(world_size):
            here, there = context.Pipe()
            process = context.Process(
                target=_serve, args=(there, rank, world_size, store), daemon=True
            )
            process.start()
            there.close()
            self._connections.append(here)
            self._processes.append(process)

    def run(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Call ``function(rank, *args)`` on every rank; results in the order of ranks.

        An error ends the processes, the others of which may wait for a rank that has failed.

        Raises:
            AssertionError: A rank failed, or gave no answer within four minutes.
        """
        try:
            for connection in self._connections:
                connection.send((function, args))
            return self._answers()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the processes."""
        self.closed = True
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
        self._folder.cleanup()

    def _answers(self) -> list[Any]:
        """What the function has returned, unless a rank tells of an error."""
        end = time.monotonic() + _ANSWER
        results: dict[int, Any] = {}
        while missing := {c: r for r, c in enumerate(self._connections) if r not in results}:
            ready = wait(list(missing), max(0.0, end - time.monotonic()))
            assert ready, f"no answer from ranks {list(missing.values())}"
            for connection in ready:
                rank = missing[connection]
                try:
                    ok, value = connection.recv()
                except EOFError:
                    ok, value = False, f"rank {rank} has ended"
                assert ok, value
                results[rank] = value
        return [results[rank] for rank in sorted(results)]


def _serve(connection: Any, rank: int, world_size: int, store: Path) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=store.as_uri(),
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=_COLLECTIVE),
    )
    while True:
        try:
            function, args = connection.recv()
            connection.send((True, function(rank, *args)))
        except BaseException:
            connection.send((False, f"rank {rank}:\n{traceback.format_exc()}"))
