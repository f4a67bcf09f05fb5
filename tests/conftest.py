from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest
import torch

from tests.rank_pool import RankPool


def pytest_configure() -> None:
    """Processes of tests listen to signals also where this one, under nohup, does not."""
    for number, handler in (
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGINT, signal.default_int_handler),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def rank_pool() -> Iterator[Callable[[int], RankPool]]:
    """A function that gives the pool of a world size, started at first use and after an error."""
    pools: dict[int, RankPool] = {}

    def pool(world_size: int) -> RankPool:
        if world_size not in pools or pools[world_size].closed:
            pools[world_size] = RankPool(world_size)
        return pools[world_size]

    yield pool
    for started in pools.values():
        started.close()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
