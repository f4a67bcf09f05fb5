"""Faults that are signals to a training of one process."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.chaos.attempts import Missed
from tests.chaos.kinds import Aftermath, kind

if TYPE_CHECKING:
    from tests.chaos.training import Training

SAVED = 75
KILLED = -signal.SIGKILL


@kind("SIGKILL", weight=7)
def kill(training: Training) -> Aftermath:
    """A kill at any moment, also while the program starts."""
    moment = training.moment(startup=0.15)
    training.attempt.reach(moment)
    return _killed(training, str(moment))


@kind("SIGKILL while saving", weight=6)
def kill_while_saving(training: Training) -> Aftermath:
    """A kill while a checkpoint is written, read back, renamed or named."""
    attempt, rng = training.attempt, training.rng
    due = [done for done in training.timeline.saves if done > training.expected]
    if not due:
        raise Missed
    before = rng.choice(due) - 1
    if not attempt.watch(lambda: any(e.number > before for e in attempt.events("done"))):
        raise Missed
    if not attempt.watch(lambda: list(training.work_dir.glob(".*.pth.*"))):
        raise Missed
    seconds = rng.uniform(0, 1.2 * training.timeline.saving)
    attempt.watch(lambda: False, seconds)
    return _killed(training, f"{seconds:.2f} s into the checkpoint of iteration {before + 1}")


@kind("SIGTERM", weight=6)
def terminate(training: Training) -> Aftermath:
    """A training that is asked to end saves and ends with 75."""
    moment = training.moment(to_the_end=False)
    training.attempt.reach(moment)
    training.attempt.send(signal.SIGTERM)
    return as_asked(training, str(moment))


@kind("SIGTERM, then SIGKILL", weight=4)
def terminate_and_kill(training: Training) -> Aftermath:
    """A training that is asked to end and gets too little time for it."""
    moment = training.moment(to_the_end=False)
    seconds = training.rng.uniform(0, 0.5)
    attempt = training.attempt
    attempt.reach(moment)
    attempt.send(signal.SIGTERM)
    attempt.watch(lambda: False, seconds)
    if attempt.program.poll() is not None:
        return as_asked(training, f"{moment}, would have been killed {seconds:.2f} s later")
    return _killed(training, f"{moment}, killed {seconds:.2f} s later", also=(SAVED,))


@kind("other num_workers", weight=2)
def other_workers(training: Training) -> Aftermath:
    """A training that goes on with another number of dataloader workers."""
    aftermath = stop_somehow(training)
    before = training.attempt.workers
    aftermath.workers = training.rng.choice([n for n in (0, 1, 2) if n != before])
    aftermath.where += f"; {before} workers, then {aftermath.workers}"
    return aftermath


def stop_somehow(training: Training, first: int = 0) -> Aftermath:
    """Kill a training, or ask it to end.

    Args:
        training: To stop.
        first: Iterations to wait for.
    """
    moment = training.moment(first=first, to_the_end=False)
    training.attempt.reach(moment)
    if training.rng.random() < 0.5:
        return _killed(training, f"SIGKILL {moment}")
    training.attempt.send(signal.SIGTERM)
    return as_asked(training, f"SIGTERM {moment}")


def as_asked(training: Training, where: str) -> Aftermath:
    """What is left of a training that was asked to end.

    Raises:
        Missed: It was done already.
    """
    attempt = training.attempt
    code = attempt.end()
    if code == 0:
        raise Missed
    begun = [event.number + 1 for event in attempt.events("iter")]
    aftermath = Aftermath(f"{where}: exit {code}")
    if code == -signal.SIGTERM and attempt.events("end"):
        return aftermath  # nothing was left that could be lost
    if code != SAVED:
        aftermath.troubles.append(f"exit code {code}, not {SAVED}, after SIGTERM")
    else:
        aftermath.promised = max(begun, default=training.expected)
        if "--resume" not in attempt.messages:
            aftermath.troubles.append("exit code 75, and no word of --resume")
    return aftermath


def _killed(training: Training, where: str, also: tuple[int, ...] = ()) -> Aftermath:
    training.attempt.send(signal.SIGKILL)
    code = training.attempt.end()
    if code == 0:
        raise Missed
    aftermath = Aftermath(f"{where}: exit {code}")
    if code not in (KILLED, *also):
        aftermath.troubles.append(f"exit code {code} before it was killed")
    return aftermath
