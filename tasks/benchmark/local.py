"""Runs of a benchmark on this machine, one after the other or side by side."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console

from .devices import Devices
from .display import Display
from .estimate import total_seconds
from .run import Run
from .scheduler import Job, Scheduler, Start, Status
from .training import Training

_LOOK_SECONDS = 0.2
# Senders may ask twice, as timeout does.
_SAME_REQUEST_SECONDS = 2.0
_SAVING_SECONDS = 60.0


class Interrupted(Exception):
    """A benchmark was asked to end before all its runs were done; everything is saved.

    Attributes:
        jobs: All jobs.
        number: The signal.
    """

    def __init__(self, jobs: Sequence[Job], number: int) -> None:
        super().__init__("interrupted: run the same command again to continue")
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

    The first SIGINT (Ctrl-C), SIGTERM or SIGHUP has what runs save and end; another SIGINT, some
    seconds later, ends it at once.

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
    received: list[tuple[int, float]] = []
    with (
        _signals(received),
        Display(console or Console(), scheduler.jobs, left) as display,
        _leaving_nothing(scheduler),
    ):
        stopping = False
        while scheduler.busy:
            display.tell(scheduler.step())
            if received and not stopping:
                stopping = True
                display.say(
                    "stopping: running jobs save first; press Ctrl-C again after 2 s to kill them"
                )
                scheduler.stop()
            if any(
                number == signal.SIGINT and at > received[0][1] + _SAME_REQUEST_SECONDS
                for number, at in received
            ):
                scheduler.kill()
            time.sleep(_LOOK_SECONDS)
    if received and any(
        job.status in (Status.WAITING, Status.INTERRUPTED) for job in scheduler.jobs
    ):
        raise Interrupted(scheduler.jobs, received[0][0])
    return scheduler.jobs


@contextmanager
def _leaving_nothing(scheduler: Scheduler) -> Iterator[None]:
    """Where something fails here, end what runs before the error goes on."""
    try:
        yield
    except BaseException:
        scheduler.stop()
        end = time.monotonic() + _SAVING_SECONDS
        while scheduler.running and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
        scheduler.kill()
        with suppress(OSError):  # which may be what has failed
            scheduler.step()
        raise


@contextmanager
def _signals(received: list[tuple[int, float]]) -> Iterator[None]:
    """Take note of signals that ask to end, and of when they came."""

    def take(number: int, frame: Any) -> None:
        received.append((number, time.monotonic()))

    asked = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        asked.append(signal.SIGHUP)
    before = {number: signal.signal(number, take) for number in asked}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
