"""Losses and metrics over a training, from the scalars that mmengine's local backend wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.report.records import Record
from tasks.task_metrics import TaskMetric

_LOSS = "loss"


@dataclass(frozen=True)
class Curve:
    """A quantity over iterations: ascending iterations, and a value for each."""

    iterations: tuple[int, ...]
    values: tuple[float, ...]

    def thinned(self, most: int) -> Curve:
        """At most so many points: each the mean of neighbours, at the last of their iterations."""
        width = math.ceil(len(self.values) / most)
        if width <= 1:
            return self
        starts = range(0, len(self.values), width)
        return Curve(
            tuple(self.iterations[min(k + width, len(self.values)) - 1] for k in starts),
            tuple(_mean(self.values[k : k + width]) for k in starts),
        )


@dataclass(frozen=True)
class _Evaluation:
    """A figure with the epoch or iteration that it was written for, and that of the last loss."""

    step: int
    after: int
    figure: float


def read_curves(record: Record, metric: TaskMetric) -> tuple[Curve, Curve]:
    """The loss and a metric of a run over its iterations; empty where nothing was written.

    The folders of a resumed training come one after the other; from the first step of one on, what
    an earlier one says does not count. Lines that are not whole are left out.
    """
    files = sorted(record.folder.glob("*/vis_data/scalars.json"))
    read = (_read(file, metric) for file in files)
    # Without a loss it is an evaluation, or a training that ended at once.
    folders = [(found, written) for found, written in read if found]
    length = _length([written for _, written in folders], record.evaluated_at)
    losses: dict[int, float] = {}
    evaluations: dict[int, float] = {}
    for found, written in folders:
        measured = {
            one.step * length if length is not None else one.after: one.figure for one in written
        }
        begin = min([*found, *measured])
        losses = {step: value for step, value in losses.items() if step < begin} | found
        evaluations = {k: value for k, value in evaluations.items() if k < begin} | measured
    return _curve(losses), _curve(evaluations)


def _length(folders: Sequence[Sequence[_Evaluation]], evaluated_at: int | None) -> int | None:
    """The iterations between evaluations that count 1 apart; None where they are not counted.

    A training by epochs counts its evaluations in epochs. The record's last evaluation is the last
    of all folders, whose counts go on from one to the next.
    """
    last = next((written[-1].step for written in reversed(folders) if written), 0)
    if not evaluated_at or not last or evaluated_at % last:
        return None
    return evaluated_at // last


def _read(file: Path, metric: TaskMetric) -> tuple[dict[int, float], list[_Evaluation]]:
    """Losses by iteration, and evaluations, of one process."""
    losses: dict[int, float] = {}
    evaluations: list[_Evaluation] = []
    for line in _lines(file):
        step, loss, value = line.get("step"), line.get(_LOSS), metric.value(line)
        if not isinstance(step, int):
            continue
        if isinstance(loss, (int, float)) and math.isfinite(loss):
            losses[step] = loss
        elif value is not None:
            evaluations.append(_Evaluation(step, max(losses, default=0), value))
    return losses, evaluations


def _lines(file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict):
            yield content


def _curve(values: Mapping[int, float]) -> Curve:
    steps = sorted(values)
    return Curve(tuple(steps), tuple(values[step] for step in steps))


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)
