"""Which runs go together as job arrays, in which order, and what becomes of those that wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .record import State, state_of
from .run import Run

# Takes runs as one array, and the numbers of the arrays that they wait for; gives its number.
Take = Callable[[Sequence[Run], Sequence[str]], str]
_SHOWN_TITLES = 5


@dataclass(frozen=True)
class Array:
    """Runs that were taken as one job array.

    Attributes:
        number: Of its Slurm job.
        runs: As many GPUs each, in the order of its tasks.
        after: Numbers of the arrays that end before it starts.
    """

    number: str
    runs: tuple[Run, ...]
    after: tuple[str, ...] = ()

    def __str__(self) -> str:
        after = f", after {' and '.join(self.after)}" if self.after else ""
        return f"job array {self.number}: {_size(self.runs)}{after}"


@dataclass(frozen=True)
class Refusal:
    """Runs that were not taken, and why."""

    runs: tuple[Run, ...]
    why: str

    def __str__(self) -> str:
        titles = [run.title for run in self.runs[:_SHOWN_TITLES]]
        titles += ["..."] if len(self.runs) > _SHOWN_TITLES else []
        return f"{_size(self.runs)} ({'; '.join(titles)}): {self.why}"


def hand_over(runs: Sequence[Run], take: Take) -> Iterator[Array | Refusal]:
    """Hand over all runs that are not done, those first that others need.

    Runs that take as many GPUs, and need nothing or runs of one level below, are one array. What
    needs a run that was refused is refused too, and the rest goes on.

    Args:
        runs: Each after those that it needs.
        take: Raises RuntimeError or OSError where it refuses.

    Yields:
        What became of the runs, one array after the other.
    """
    waves: dict[tuple[int, int], list[Run]] = {}
    for run in runs:
        if state_of(run) is not State.DONE:
            waves.setdefault((_level(run), run.processes), []).append(run)
    number_of: dict[int, str] = {}
    refused: set[int] = set()
    for _, wave in sorted(waves.items()):
        array = []
        for run in wave:
            lacks = [need.title for need in run.needs if id(need) in refused]
            if lacks:
                refused.add(id(run))
                yield Refusal((run,), f"needs {' and '.join(lacks)}, not submitted either")
            else:
                array.append(run)
        if not array:
            continue
        numbers = {number_of[id(n)] for run in array for n in run.needs if id(n) in number_of}
        after = tuple(sorted(numbers, key=int))
        try:
            number = take(array, after)
        except (OSError, RuntimeError) as error:
            refused |= {id(run) for run in array}
            yield Refusal(tuple(array), str(error))
        else:
            number_of |= {id(run): number for run in array}
            yield Array(number, tuple(array), after)


def _level(run: Run) -> int:
    """How many runs one after the other it waits for; those that are done do not count."""
    waits = [_level(need) + 1 for need in run.needs if state_of(need) is not State.DONE]
    return max(waits, default=0)


def _size(runs: Sequence[Run]) -> str:
    gpus = runs[0].processes
    return f"{len(runs)} run{'s' * (len(runs) > 1)} of {gpus} GPU{'s' * (gpus > 1)}"
