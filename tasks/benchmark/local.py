"""Runs of a benchmark on this machine, one after the other or side by side."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from .devices import Devices
from .display import Display
from .estimate import total_seconds
from .run import Run
from .scheduler import Job, Scheduler, Start
from .training import Training

_LOOK_SECONDS = 0.2


class Interrupted(Exception):
    """A benchmark was asked to end before all its runs were done; everything is saved.

    Attributes:
        jobs: All jobs.
        number: The signal.
    """

    def __init__(self, jobs: Sequence[Job], number: int) -> None:
        super().__init__("interrupted; the same command goes on from here")
        self.jobs = list(jobs)
        self.number = number


def run_here(
    runs: Sequence[Run],
    plan: str,
    devices: Devices,
    retries: int = 1,
    console: Console | None = None,
    start: Start = Training,
) -> list[Job]:
    """Do all runs that are not done, and show how they get on.

    The first SIGINT (Ctrl-C) or SIGTERM has what runs save and end; another SIGINT ends it at once.

    Args:
        runs: Each after those that it needs.
        plan: Name of the plan.
        devices: Where they run.
        retries: Of a run that has failed.
        console: Where progress goes; by default the terminal.
        start: What starts a training.

    Returns:
        How every run ended.

    Raises:
        Interrupted: By a signal.
    """
    scheduler = Scheduler(runs, plan, devices, retries, start)
    left, _ = total_seconds(runs, devices)
    received: list[int] = []
    with (
        _signals(received),
        Display(console or Console(soft_wrap=False), scheduler.jobs, left) as display,
    ):
        answered = 0
        while scheduler.busy:
            display.tell(scheduler.step())
            if len(received) > answered:
                answered = len(received)
                if answered == 1:
                    display.say("ending: what runs saves first; Ctrl-C again ends it at once")
                    scheduler.stop()
                elif received[-1] == signal.SIGINT:
                    scheduler.kill()
            time.sleep(_LOOK_SECONDS)
    if received:
        raise Interrupted(scheduler.jobs, received[0])
    return scheduler.jobs


@contextmanager
def _signals(received: list[int]) -> Iterator[None]:
    """Take note of signals that ask to end."""

    def take(number: int, frame: Any) -> None:
        received.append(number)

    before = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
