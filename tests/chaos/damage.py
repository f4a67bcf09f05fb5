"""Faults that damage files of a training that has been stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos import checkpoints
from tests.chaos.attempts import Missed
from tests.chaos.kinds import Aftermath, kind
from tests.chaos.signals import stop_somehow

if TYPE_CHECKING:
    from tests.chaos.training import Training


@kind("checkpoint truncated", weight=4)
def truncate(training: Training) -> Aftermath:
    """The newest checkpoint cut short; the one before has to do."""
    aftermath, path = _stopped(training)
    whole = path.stat().st_size
    size = training.rng.randrange(whole)
    os.truncate(path, size)
    aftermath.where += f"; {path.name} cut to {size} of {whole} bytes"
    aftermath.spoiled, aftermath.must_notice = path, True
    return aftermath


@kind("byte flipped", weight=4)
def flip(training: Training) -> Aftermath:
    """A byte of the newest checkpoint changed; in padding, that makes no difference."""
    aftermath, path = _stopped(training)
    place = training.rng.randrange(path.stat().st_size)
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ training.rng.randrange(1, 256)]))
    aftermath.where += f"; byte {place} of {path.name}"
    aftermath.spoiled = path
    return aftermath


@kind("last_checkpoint damaged", weight=3)
def pointer(training: Training) -> Aftermath:
    """The file that names the newest checkpoint emptied, overwritten or deleted."""
    aftermath, _ = _stopped(training)
    path = training.work_dir / "last_checkpoint"
    what = training.rng.choice(["emptied", "overwritten", "deleted"])
    if what == "deleted":
        path.unlink()
    else:
        length = 0 if what == "emptied" else training.rng.randint(1, 200)
        path.write_bytes(training.rng.randbytes(length))
    aftermath.where += f"; last_checkpoint {what}"
    return aftermath


def _stopped(training: Training) -> tuple[Aftermath, Path]:
    """Stop a training once it has a checkpoint, and tell which."""
    aftermath = stop_somehow(training, first=min(training.timeline.saves))
    path = checkpoints.named(training.work_dir)
    if path is None or not path.is_file():
        raise Missed
    return aftermath, path
