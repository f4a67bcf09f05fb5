"""What a work directory tells of a benchmark's run: whether it is done, and how it went."""

from __future__ import annotations

import dataclasses
import enum
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from normlib.checkpoint.saving import replacing

from .run import OPTIONS, Run
from .weights import start_weights

RECORD = "benchmark.json"
_FORMAT = 1


class State(enum.Enum):
    """How far a run has come."""

    NEW = "new"
    BEGUN = "begun"
    DONE = "done"
    OUTDATED = "outdated"
    OTHER = "other"


@dataclass(frozen=True)
class Attempt:
    """One start of a run: when, how long it went, and its exit code."""

    started: str
    seconds: float
    exit_code: int


@dataclass
class Record:
    """The content of `benchmark.json`.

    Attributes:
        command: The command line of the run.
        attempts: In their order.
        weights: What it started from, see `start_weights`; None where that was not recorded.
    """

    command: list[str]
    attempts: list[Attempt] = field(default_factory=list)
    weights: dict[str, str] | None = None


def read_record(work_dir: Path) -> Record | None:
    """The record of a work directory; None where there is none that can be read."""
    try:
        content = json.loads((work_dir / RECORD).read_text())
        attempts = [Attempt(**attempt) for attempt in content["attempts"]]
        weights = content.get("weights")
        return Record(list(content["command"]), attempts, weights and dict(weights))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_record(run: Run, plan: str, attempts: list[Attempt]) -> None:
    """Write the record of a run, whole or not at all.

    The first one, before the run starts, has the weights that it starts from; later ones keep them.
    """
    run.work_dir.mkdir(parents=True, exist_ok=True)
    before = read_record(run.work_dir)
    content = {
        "format": _FORMAT,
        "plan": plan,
        "task": run.task,
        "model": run.model,
        "norm": run.norm,
        "seed": run.seed,
        "batch_setting": run.batch_setting,
        "row": run.row,
        "command": run.command,
        "attempts": [dataclasses.asdict(attempt) for attempt in attempts],
        "weights": before.weights if before else start_weights(run),
    }
    with replacing(run.work_dir / RECORD) as scratch:
        scratch.write_text(json.dumps(content, indent=2))


def state_of(run: Run) -> State:
    """How far a run has come, by what its work directory holds.

    `OUTDATED` stands for a run, done or begun, that has to start anew, see `why_outdated`; `OTHER`
    for a folder with another run in it: another command, or no record of any.
    """
    if not run.work_dir.exists() or not any(run.work_dir.iterdir()):
        return State.NEW
    record = read_record(run.work_dir)
    if record is None or _parts(record.command) != _parts(run.command):
        return State.OTHER
    if why_outdated(run) is not None:
        return State.OUTDATED
    return State.DONE if is_complete(read_metrics(run.work_dir)) else State.BEGUN


def why_outdated(run: Run) -> str | None:
    """Why what a run has done does not count: it started from weights that are others now.

    Returns:
        In words; None where it counts, or where nothing is known of the weights.
    """
    record = read_record(run.work_dir)
    if record is None or not record.weights:
        return None
    for need in run.needs:
        if state_of(need) is not State.DONE:
            return (
                f"it started from {need.title}, which has to be trained again (unless that gives "
                "the same weights)"
            )
    now = start_weights(run)
    for key, digest in record.weights.items():
        if now.get(key, digest) != digest:
            return f"it started from other weights than {run.options[key]} holds now"
    return None


def put_aside(run: Run) -> Path:
    """Keep the work directory of a run under another name, `NAME-1` or the next that is free.

    Returns:
        Where it is now.

    Raises:
        OSError: It cannot be renamed.
    """
    number = 1
    while os.path.lexists(place := run.work_dir.with_name(f"{run.work_dir.name}-{number}")):
        number += 1
    run.work_dir.rename(place)
    return place


def foreign_folders(runs: Sequence[Run]) -> list[str]:
    """What keeps runs out of their work directories, a line each."""
    problems = []
    for run in runs:
        if state_of(run) is State.OTHER:
            record = read_record(run.work_dir)
            problems.append(
                f"{run.work_dir} contains files that are not from this run"
                if record is None
                else f"{run.work_dir} holds a run with other settings: "
                f"{_difference(record.command, run.command)}"
            )
    return [f"{problem}; give another --out, or remove it" for problem in problems]


def _parts(command: Sequence[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """A command and its options, whose order says nothing."""
    place = command.index(OPTIONS) if OPTIONS in command else len(command)
    return tuple(command[:place]), frozenset(command[place:])


def _difference(before: Sequence[str], now: Sequence[str]) -> str:
    gone = [word for word in before if word not in now]
    new = [word for word in now if word not in before]
    return f"{' '.join(gone) or 'nothing'} there, {' '.join(new) or 'nothing'} in the plan"


def read_metrics(work_dir: Path) -> dict[str, Any]:
    """`metrics.json` of a work directory; empty where there is none that can be read."""
    try:
        content = json.loads((work_dir / "metrics.json").read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def is_complete(metrics: dict[str, Any]) -> bool:
    """Whether a training has done all its iterations, and was evaluated after them."""
    done, planned = metrics.get("iterations"), metrics.get("max_iterations")
    return planned is not None and done == planned == metrics.get("evaluated_at")
