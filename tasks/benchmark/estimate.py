"""How long runs will take."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from .devices import Devices
from .record import State, read_record, state_of
from .run import Run


def seconds_of(run: Run, runs: Sequence[Run]) -> float | None:
    """How long a run takes, about.

    That is the median of what runs of its config and processes took here, else what the plan says.

    Args:
        run: The run.
        runs: All of the plan.

    Returns:
        Seconds; None where nothing tells.
    """
    taken = [
        sum(attempt.seconds for attempt in record.attempts)
        for other in runs
        if (other.config, other.processes) == (run.config, run.processes)
        and state_of(other) is State.DONE
        and (record := read_record(other.work_dir)) is not None
    ]
    if taken:
        return statistics.median(taken)
    return None if run.minutes is None else 60 * run.minutes


def total_seconds(runs: Sequence[Run], devices: Devices) -> tuple[float, int]:
    """How long it takes until all runs that are not done are, and how many tell nothing.

    What runs side by side is taken to fill the places evenly; runs that need each other come one
    after the other.
    """
    left = [run for run in runs if state_of(run) is not State.DONE]
    estimates = [(run, seconds_of(run, runs)) for run in left]
    places = len(devices.gpus) or devices.jobs
    work = sum((seconds or 0) * devices.needed(run.processes) for run, seconds in estimates)
    ends: dict[int, float] = {}
    for run, seconds in estimates:
        begin = max((ends.get(id(need), 0) for need in run.needs), default=0)
        ends[id(run)] = begin + (seconds or 0)
    unknown = sum(seconds is None for _, seconds in estimates)
    return max([work / places, *ends.values()]), unknown


def in_words(seconds: float) -> str:
    """Such as `'2 h 05 min'` or `'40 s'`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
