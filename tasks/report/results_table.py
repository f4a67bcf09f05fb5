"""The table of results of a task: measured and published figures apart, and what runs cost."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from tasks.report.cells import ABSENT, Cell, Column, Line, Table, number, signed
from tasks.report.naming import distinct
from tasks.report.paired import best_norm
from tasks.report.published import Standing
from tasks.report.records import Record
from tasks.report.runs import Group, Row
from tasks.task_metrics import SAMPLES, TaskMetric

GENERATED = "generated data"


def results_table(
    task: str,
    groups: Sequence[Group],
    metrics: Sequence[TaskMetric],
    standings: Mapping[Row, Standing],
) -> Table:
    """A line for each row of runs.

    Args:
        task: Folder name of the task.
        groups: Of its runs.
        metrics: That are shown; of the first there is always a column of published figures.
        standings: Of the rows to the published tables.
    """
    columns = [Column("Model", brief=True), Column("Norm", brief=True)]
    published = [
        metric
        for metric in metrics
        if metric is metrics[0] or any(_published(standings[row], metric) for row in standings)
    ]
    for metric in metrics:
        columns.append(Column(metric.title, "measured", brief=True))
        if metric in published:
            columns += [Column(f"{metric.title}, published", "published")]
            columns += [Column("difference", "change")]
    columns += [
        Column("seeds", "number", brief=True),
        Column(f"{SAMPLES[task]} evaluated", "number"),
        Column("processes × samples", "number"),
        Column("s/iteration", "number", brief=True),
        Column("peak memory", "number", brief=True),
        Column("hardware"),
        Column("versions"),
    ]
    lines = []
    for group in groups:
        best = {metric: _best(group, metric) for metric in metrics}
        for row in group.rows:
            cells = [Cell(group.model, detail=row.description), Cell(row.norm)]
            for metric in metrics:
                cells.append(_measured(row, metric, best[metric] is row))
                if metric in published:
                    cells += _beside(row, metric, standings[row])
            begins = row is group.rows[0]
            lines.append(Line(row.norm, (*cells, *_costs(row)), tuple(_marks(row)), begins))
    return Table(tuple(columns), tuple(lines))


def _best(group: Group, metric: TaskMetric) -> Row | None:
    rows = group.comparable
    best = best_norm({label: row.by_seed(metric) for label, row in rows.items()})
    return rows[best] if best is not None else None


def _batch(run: Record) -> Cell:
    if run.batch_size is None:
        return Cell(ABSENT)
    return Cell(f"{run.ranks} × {run.batch_size}", run.ranks * run.batch_size)


def _measured(row: Row, metric: TaskMetric, best: bool) -> Cell:
    values = row.values(metric)
    if not values:
        return Cell(ABSENT)
    mean = statistics.fmean(values)
    if len(values) == 1:
        return Cell(f"{mean:.2f}", mean, best)
    return Cell(f"{mean:.2f} ± {statistics.stdev(values):.2f}", mean, best)


def _published(found: Standing, metric: TaskMetric) -> float | None:
    if found.row is None or found.row.published is None:
        return None
    return found.row.published.metrics.get(metric.title)


def _beside(row: Row, metric: TaskMetric, found: Standing) -> list[Cell]:
    """The published figure and the difference to it."""
    figure, values = _published(found, metric), row.values(metric)
    if figure is None or found.row is None or found.row.published is None:
        return [Cell(ABSENT), Cell(ABSENT)]
    cell = Cell(str(figure), figure, detail=found.row.published.source)
    if not values:
        return [cell, Cell(ABSENT)]
    difference = statistics.fmean(values) - figure
    return [cell, Cell(signed(difference), difference)]


def _costs(row: Row) -> list[Cell]:
    runs = row.records
    seeds = [run.seed for run in runs if run.seed is not None]
    by_device = {
        device: [run for run in runs if run.device == device]
        for device in distinct(run.device for run in runs)
    }
    evaluated = sorted({run.evaluated for run in runs if run.evaluated is not None})
    return [
        Cell(str(len(runs)), len(runs), detail=_listed(seeds)),
        number(evaluated[0] if evaluated else None, 0),
        _batch(runs[0]),
        _side_by_side([_seconds(alike) for alike in by_device.values()]),
        _side_by_side([_memory(alike) for alike in by_device.values()], " MiB"),
        Cell("; ".join(by_device)),
        _versions(runs),
    ]


def _seconds(runs: Sequence[Record]) -> Cell:
    """The mean over runs on one kind of hardware."""
    seconds = [run.seconds for run in runs if run.seconds is not None]
    return number(statistics.fmean(seconds) if seconds else None, 3)


def _memory(runs: Sequence[Record]) -> Cell:
    """The largest peak of runs on one kind of hardware."""
    peak = max(runs, key=lambda run: run.memory)
    return number(peak.memory, 0, f"of the {peak.memory_of}")


def _side_by_side(cells: Sequence[Cell], unit: str = "") -> Cell:
    """Figures of several kinds of hardware, in the order in which these are named."""
    orders = [cell.order for cell in cells if cell.order is not None]
    return Cell(
        "; ".join(cell.text for cell in cells) + unit,
        min(orders, default=None),
        detail="; ".join(distinct(cell.detail for cell in cells if cell.detail)),
    )


def _versions(runs: Sequence[Record]) -> Cell:
    """PyTorch's version, and in small what it was built for and that of normlib."""
    torch = [run.versions.get("torch", "?").partition("+") for run in runs]
    builds = distinct(build for _, _, build in torch if build)
    own = distinct(f"normlib {run.versions.get('normlib', '?')}" for run in runs)
    return Cell(
        "; ".join(distinct(f"torch {release}" for release, _, _ in torch)),
        detail=", ".join([*builds, *own]),
    )


def _listed(seeds: Sequence[int]) -> str:
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def _marks(row: Row) -> list[str]:
    marks = [GENERATED] if row.first.generated else []
    if row.first.state == "evaluation":
        marks.append("evaluation only")
    elif not row.first.complete:
        marks.append(f"incomplete: {row.first.state}")
    return marks
