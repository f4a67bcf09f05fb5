"""What is said of a task in tables and words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tasks.report.cells import Table
from tasks.report.differences_table import differences_table
from tasks.report.naming import distinct
from tasks.report.published import Standing, standing
from tasks.report.records import Record
from tasks.report.results_table import results_table
from tasks.report.runs import Group, Row, common_options, group_runs
from tasks.task_metrics import TASK_METRICS, TaskMetric


@dataclass(frozen=True)
class TaskTables:
    """The tables of one task.

    Attributes:
        task: Folder name of the task.
        groups: Its runs, by model and setting.
        metrics: That the runs have; the first is the main one.
        results: A line for each row of runs.
        differences: A line for each metric and norm against another; None without any.
        notes: On what the tables show.
        unpublished: Why rows have no published figure beside them.
    """

    task: str
    groups: tuple[Group, ...]
    metrics: tuple[TaskMetric, ...]
    results: Table
    differences: Table | None
    notes: tuple[str, ...]
    unpublished: tuple[str, ...]

    @property
    def rows(self) -> list[Row]:
        """The rows of all groups."""
        return [row for group in self.groups for row in group.rows]

    @property
    def records(self) -> list[Record]:
        """All runs."""
        return [record for row in self.rows for record in row.records]


def task_tables(task: str, records: Sequence[Record]) -> TaskTables:
    """Makes the tables of one task.

    Raises:
        MetafileError: The project's published figures cannot be read.
    """
    common = common_options(records)
    groups = group_runs(records, common)
    standings = {row: standing(row.first) for group in groups for row in group.rows}
    metrics = [
        metric
        for metric in TASK_METRICS[task]
        if any(metric.value(record.metrics) is not None for record in records)
    ] or [TASK_METRICS[task][0]]
    return TaskTables(
        task=task,
        groups=tuple(groups),
        metrics=tuple(metrics),
        results=results_table(task, groups, metrics, standings),
        differences=differences_table(groups, metrics),
        notes=tuple(_notes(records, common, standings)),
        unpublished=tuple(_unpublished(standings, metrics)),
    )


def _notes(
    records: Sequence[Record], common: Sequence[str], standings: Mapping[Row, Standing]
) -> Iterator[str]:
    if common:
        yield f"All rows: {' '.join(common)}"
    if len(devices := distinct(record.device for record in records)) > 1:
        yield f"Several devices: {', '.join(devices)}. Times and memory do not compare."
    for name in ("normlib", "torch", "python"):
        found = distinct(record.versions.get(name, "?") for record in records)
        if len(found) > 1:
            yield f"Several versions of {name}: {', '.join(found)}."
    if len(distinct(record.memory_of for record in records)) > 1:
        yield "Peak memory is of the device in some rows and of the process in others."
    if any(record.state == "evaluation" for record in records):
        yield "Evaluation only: how the checkpoint was trained is not in its record."
    yield from distinct(note for found in standings.values() for note in found.notes)


def _unpublished(standings: Mapping[Row, Standing], metrics: Sequence[TaskMetric]) -> Iterator[str]:
    """A line for each config and reason, with the norms that it holds for."""
    norms: dict[tuple[str, str], list[str]] = {}
    for row, found in standings.items():
        if reason := found.reason or _other_metrics(found, metrics):
            config = row.first.config or "no config"
            norms.setdefault((config, reason), []).append(row.norm)
    for (config, reason), labels in norms.items():
        yield f"{config} ({', '.join(distinct(labels))}): {reason}"


def _other_metrics(found: Standing, metrics: Sequence[TaskMetric]) -> str:
    """What was published of a row instead of what is measured here; empty where that agrees."""
    figures = found.row.published.metrics if found.row and found.row.published else {}
    if any(metric.title in figures for metric in metrics):
        return ""
    listed = ", ".join(f"{title} {figure}" for title, figure in figures.items())
    return f"published are other metrics: {listed}"
