"""The table of paired differences between the norms of a model, and what may be said of them."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.report.cells import ABSENT, Cell, Column, Line, Table, number, signed
from tasks.report.paired import LEAST_PAIRS, LEVEL, Difference, paired_difference
from tasks.report.runs import Group
from tasks.task_metrics import TaskMetric

_REFERENCE = "BN"


def differences_table(groups: Sequence[Group], metrics: Sequence[TaskMetric]) -> Table | None:
    """A line for each metric and norm of a model, against BN or else its first norm.

    Returns:
        The table; None where no model was trained with two norms to the end.
    """
    columns = (
        Column("Model"),
        Column("Norm"),
        Column("against"),
        Column("metric"),
        Column("pairs", "number"),
        Column("difference", "number"),
        Column(f"{LEVEL:.0%} interval".replace("%", " %"), "number"),
        Column("sign-flip p", "number"),
        Column("statement", "words"),
    )
    lines = [line for group in groups for metric in metrics for line in _lines(group, metric)]
    return Table(columns, tuple(lines)) if lines else None


def statement(difference: Difference, reference: str) -> str:
    """What a difference allows to say, in words."""
    if difference.pairs == 0:
        return "no common seed: no statement"
    if difference.pairs == 1:
        return "one seed: no statement"
    if difference.pairs < LEAST_PAIRS:
        share = 2.0 ** (1 - difference.pairs)
        return (
            f"{difference.pairs} pairs: no statement (of one sign by chance: {100 * share:.3g} %)"
        )
    if not difference.beyond_noise or difference.mean is None:
        return "within the noise"
    return f"{'above' if difference.mean > 0 else 'below'} {reference}"


def _lines(group: Group, metric: TaskMetric) -> list[Line]:
    rows = {label: row for label, row in group.comparable.items() if row.values(metric)}
    if len(rows) < 2:
        return []
    reference = _REFERENCE if _REFERENCE in rows else next(iter(rows))
    figures = rows[reference].by_seed(metric)
    lines: list[Line] = []
    for label, row in rows.items():
        if label == reference:
            continue
        found = paired_difference(row.by_seed(metric), figures)
        cells = (
            Cell(group.model, detail=group.setting),
            *(Cell(label), Cell(reference), Cell(metric.title)),
            Cell(str(found.pairs), found.pairs),
            Cell(ABSENT) if found.mean is None else Cell(signed(found.mean), found.mean),
            _interval(found),
            number(found.chance, 3),
            Cell(statement(found, reference), best=found.beyond_noise),
        )
        lines.append(Line(row.norm, cells, begins=not lines))
    return lines


def _interval(found: Difference) -> Cell:
    if found.mean is None or found.low is None or found.high is None:
        return Cell(ABSENT)
    ends = f"{signed(found.low)} to {signed(found.high)}"
    return Cell(ends, found.low, interval=(found.low, found.mean, found.high))
