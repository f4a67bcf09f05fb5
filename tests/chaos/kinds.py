"""The kinds of faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.training import Training


@dataclass
class Aftermath:
    """What a fault has left.

    Attributes:
        where: The moment and what became of the training, for a reader.
        troubles: What was not as promised: exit codes, messages.
        promised: Iterations that the training said were saved, when it ended as asked.
        spoiled: A checkpoint that the fault has damaged.
        must_notice: Whether the next start has to say so.
        workers: Of the dataloader, for the next start.
        goes_on: Whether the training was started again by its launcher.
        losses: Checkpoints that were not gone on from, where the launcher has started it again.
    """

    where: str
    troubles: list[str] = field(default_factory=list)
    promised: int = 0
    spoiled: Path | None = None
    must_notice: bool = False
    workers: int = 0
    goes_on: bool = False
    losses: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: In tables.
        inject: Waits for a moment of a training, hits it, and waits for its end; raises
            :class:`tests.chaos.attempts.Missed` where the training has ended before.
        weight: How many of fifty faults are of this kind.
        ranks: Processes of the trainings that it hits.
        workers: Whether the dataloader needs one.
        fills_disk: Whether the training needs a disk of its own.
    """

    name: str
    inject: Callable[[Training], Aftermath]
    weight: int
    ranks: int = 1
    workers: bool = False
    fills_disk: bool = False


KINDS: dict[str, Kind] = {}


def kind(
    name: str, weight: int, ranks: int = 1, workers: bool = False, fills_disk: bool = False
) -> Callable[[Callable[[Training], Aftermath]], Callable[[Training], Aftermath]]:
    """Register a function as a kind of fault; the arguments are those of :class:`Kind`."""

    def register(inject: Callable[[Training], Aftermath]) -> Callable[[Training], Aftermath]:
        KINDS[name] = Kind(name, inject, weight, ranks, workers, fills_disk)
        return inject

    return register
