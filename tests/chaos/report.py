"""What has come of all faults."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_HEADER = ("task", "fault", "number", "restarts", "losses", "divergences", "other")


@dataclass
class Record:
    """What has come of a fault.

    Attributes:
        task: What was trained.
        kind: Of the fault.
        where: When it came, and what the training did.
        folder: With the files of the training.
        number: Of faults: 1, or 0 for what went wrong without one.
        restarts: Starts that it took.
        losses: Checkpoints that had been reported as saved, and were not there or not used.
        divergences: How the result differs from that of the training without faults.
        troubles: Whatever else was not as promised.
    """

    task: str
    kind: str
    where: str
    folder: Path
    number: int = 1
    restarts: int = 0
    losses: list[str] = field(default_factory=list)
    divergences: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """All that is wrong."""
        return [
            *(f"LOSS: {text}" for text in self.losses),
            *(f"DIVERGENCE: {text}" for text in self.divergences),
            *(f"NOT AS PROMISED: {text}" for text in self.troubles),
        ]


def table(records: Iterable[Record]) -> str:
    """A line for each task and kind of fault, and one of totals, in Markdown."""
    rows: dict[tuple[str, str], list[int]] = {}
    for record in records:
        row = rows.setdefault((record.task, record.kind), [0] * 5)
        for at, value in enumerate(_counts(record)):
            row[at] += value
    totals = [sum(column) for column in zip(*rows.values(), strict=True)] or [0] * 5
    lines = [(*names, *map(str, row)) for names, row in sorted(rows.items())]
    lines.append(("all", "", *map(str, totals)))
    widths = [max(map(len, column)) for column in zip(_HEADER, *lines, strict=True)]
    rule = ["-" * width if at < 2 else "-" * (width - 1) + ":" for at, width in enumerate(widths)]
    return "\n".join(_line(cells, widths) for cells in (_HEADER, rule, *lines))


def details(records: Iterable[Record]) -> str:
    """What is wrong, with the folders of the trainings; empty where nothing is."""
    return "\n".join(
        f"{record.task}, {record.kind} ({record.where}): {problem} [{record.folder}]"
        for record in records
        for problem in record.problems
    )


def _counts(record: Record) -> tuple[int, ...]:
    found = (record.losses, record.divergences, record.troubles)
    return record.number, record.restarts, *map(len, found)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.ljust(width) if at < 2 else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |"
