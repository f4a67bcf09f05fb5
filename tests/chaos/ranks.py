"""Faults that hit one of several ranks; torchrun starts all again, from the newest checkpoint."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.chaos.attempts import Missed
from tests.chaos.kinds import Aftermath, kind

if TYPE_CHECKING:
    from tests.chaos.training import Training

RANKS = 2
# How often torchrun starts the processes of a training again.
RESTARTS = 3


@kind("1 of 2 ranks: SIGKILL", weight=4, ranks=RANKS)
def kill_rank(training: Training) -> Aftermath:
    """A rank is killed; the launcher has all go on from the newest checkpoint."""
    return _hit(training, signal.SIGKILL)


@kind("1 of 2 ranks: SIGTERM", weight=2, ranks=RANKS)
def terminate_rank(training: Training) -> Aftermath:
    """A rank is asked to end; both save, and the launcher has both go on exactly there."""
    return _hit(training, signal.SIGTERM)


def _hit(training: Training, number: signal.Signals) -> Aftermath:
    attempt = training.attempt
    asked = number == signal.SIGTERM
    # All know of it an iteration later.
    moment = training.moment(last=training.timeline.count - 1 - asked, to_the_end=False)
    if not attempt.watch(lambda: attempt.starts):
        raise Missed
    starts = len(attempt.starts)
    attempt.reach(moment)
    rank = training.rng.randrange(RANKS)
    attempt.send(number, attempt.control.ranks()[rank])
    least = attempt.reported
    if not attempt.watch(lambda: len(attempt.starts) > starts):
        raise Missed
    began = attempt.starts[-1]
    if asked:
        before = [e for e in attempt.control.events() if e.time < began.time and e.kind == "iter"]
        least = before[-1].number + 1
    aftermath = Aftermath(f"rank {rank} {moment}: goes on from {began.number}", goes_on=True)
    if began.number < least:
        aftermath.losses.append(f"{least} iterations were saved, it goes on from {began.number}")
    training.expected = began.number
    return aftermath
