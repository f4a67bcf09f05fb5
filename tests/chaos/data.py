"""Faults in what a training reads."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.attempts import Missed
from tests.chaos.disk import misreported
from tests.chaos.kinds import Aftermath, kind
from tests.processes import children

if TYPE_CHECKING:
    from tests.chaos.training import Training


@kind("NaN in the inputs", weight=3)
def poison(training: Training) -> Aftermath:
    """Inputs that are NaN from some iteration on; nothing of that may be saved."""
    moment = training.moment(last=training.timeline.count - 2)
    attempt = training.attempt
    attempt.reach(moment)
    attempt.control.poison(True)
    code = attempt.end()
    attempt.control.poison(False)
    if code == 0:
        raise Missed
    troubles = misreported(attempt, code, r"^error: the training has diverged: the loss is nan at")
    return Aftermath(f"{moment}: exit {code}", troubles)


@kind("DataLoader worker killed", weight=2, workers=True)
def kill_worker(training: Training) -> Aftermath:
    """A worker of the dataloader is killed; the message names what it held."""
    moment = training.moment(to_the_end=False)
    attempt = training.attempt
    attempt.reach(moment)
    found: list[int] = []

    def look() -> list[int]:
        found[:] = workers(attempt.pid)
        return found

    if not attempt.watch(look):
        raise Missed
    worker = training.rng.choice(found)
    attempt.send(signal.SIGKILL, worker)
    code = attempt.end()
    if code == 0:
        raise Missed
    says_so = rf"^error: a DataLoader worker .*process {worker} held "
    return Aftermath(f"{moment}: exit {code}", misreported(attempt, code, says_so))


def workers(parent: int) -> list[int]:
    """Process ids of the children of a process that run the same program as it."""
    return [pid for pid in children(parent) if _command(pid) == _command(parent)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
