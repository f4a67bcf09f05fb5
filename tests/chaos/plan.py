"""Which faults hit which trainings."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos import damage, data, disk, ranks, signals
from tests.chaos.kinds import KINDS, Kind

# More leave little of eight iterations for the last.
_FAULTS_A_TRAINING = 4
# Of several ranks.
_FAULTS_A_TASK = 6
# They register their kinds when they are imported.
MODULES = (damage, data, disk, ranks, signals)


@dataclass(frozen=True)
class Planned:
    """A training to hit.

    Attributes:
        task: What is trained.
        ranks: Its processes.
        kinds: The faults, in order.
    """

    task: str
    ranks: int
    kinds: tuple[Kind, ...]


def plan(tasks: Sequence[str], faults: int, rng: random.Random) -> list[Planned]:
    """Deal out faults.

    Args:
        tasks: What is trained; each gets as many as any other.
        faults: Their number.
        rng: Which fault hits which task is drawn from it.

    Returns:
        Trainings of several ranks, which take longest, first.
    """
    hands: dict[tuple[int, str], list[Kind]] = {}
    for count in sorted({kind.ranks for kind in KINDS.values()}):
        deck = [kind for kind in _deck(faults) if kind.ranks == count]
        rng.shuffle(deck)
        if count > 1:
            # Several ranks cost several times as much: few tasks are hit much.
            players = rng.sample(tasks, min(len(tasks), -(-len(deck) // _FAULTS_A_TASK)))
        else:
            players = rng.sample(tasks, len(tasks))
        for at, kind in enumerate(deck):
            hands.setdefault((count, players[at % len(players)]), []).append(kind)
    planned = [
        Planned(task, count, tuple(part))
        for (count, task), hand in hands.items()
        for part in _parts(hand, ranks.RESTARTS if count > 1 else _FAULTS_A_TRAINING)
    ]
    return sorted(planned, key=lambda one: -one.ranks)


def _deck(faults: int) -> list[Kind]:
    """Kinds in the proportion of their weights, the rest to those that come off worst."""
    kinds = list(KINDS.values())
    whole = sum(kind.weight for kind in kinds)
    shares = [faults * kind.weight / whole for kind in kinds]
    counts = [int(share) for share in shares]
    worst = sorted(range(len(kinds)), key=lambda at: counts[at] - shares[at])
    for at in worst[: faults - sum(counts)]:
        counts[at] += 1
    return [kind for kind, count in zip(kinds, counts, strict=True) for _ in range(count)]


def _parts(hand: list[Kind], most: int) -> list[list[Kind]]:
    """A hand in parts of about the same length."""
    number = -(-len(hand) // most)
    return [hand[at::number] for at in range(number)]
