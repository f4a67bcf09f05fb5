"""Losses and metrics over a training, from the scalars that mmengine's local backend wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
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


def read_curves(record: Record, metric: TaskMetric) -> tuple[Curve, Curve]:
    """The loss and a metric of a run over its iterations; empty where nothing was written.

    The folders of a resumed training come one after the other; from the first step of one on, what
    an earlier one says does not count. Lines that are not whole are left out.
    """
    losses: dict[int, float] = {}
    evaluations: dict[int, float] = {}
    for file in sorted(record.folder.glob("*/vis_data/scalars.json")):
        found, measured = _read(file, metric, record.evaluated_at)
        if not found:
            continue  # an evaluation, or a training that ended at once
        begin = min([*found, *measured])
        losses = {step: value for step, value in losses.items() if step < begin} | found
        evaluations = {k: value for k, value in evaluations.items() if k < begin} | measured
    return _curve(losses), _curve(evaluations)


def _read(
    file: Path, metric: TaskMetric, evaluated_at: int | None
) -> tuple[dict[int, float], dict[int, float]]:
    """Losses and figures by iteration of one process."""
    losses: dict[int, float] = {}
    evaluations: list[tuple[int, int, float]] = []  # step, iteration of the last loss, figure
    for line in _lines(file):
        step, loss, value = line.get("step"), line.get(_LOSS), metric.value(line)
        if not isinstance(step, int):
            continue
        if isinstance(loss, (int, float)) and math.isfinite(loss):
            losses[step] = loss
        elif value is not None:
            evaluations.append((step, max(losses, default=0), value))
    if not evaluations:
        return losses, {}
    # A training by epochs counts its evaluations in epochs: the record tells how long one is.
    last = evaluations[-1][0]
    whole = evaluated_at and last and evaluated_at % last == 0
    length = evaluated_at // last if whole and evaluated_at is not None else None
    figures = {
        step * length if length is not None else before: value
        for step, before, value in evaluations
    }
    return losses, figures


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
