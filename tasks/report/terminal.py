"""The tables of results for a terminal, one a task."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from tasks.report.tables import TaskTables


def terminal_tables(tasks: Iterable[TaskTables]) -> list[Table]:
    """A table with the most important columns for each task."""
    return [_table(tables) for tables in tasks]


def _table(tables: TaskTables) -> Table:
    table = Table(title=Text(tables.task.capitalize()))
    columns = tables.results.columns
    shown = [place for place, column in enumerate(columns) if column.brief]
    lines = tables.results.lines
    marked = any(line.marks for line in lines)
    for place in shown:
        table.add_column(
            Text(columns[place].title),
            justify="right" if columns[place].numeric else "left",
            no_wrap=columns[place].numeric,
            overflow="fold",
        )
    if marked:
        table.add_column("remarks")
    for line, following in zip(lines, [*lines[1:], None], strict=True):
        cells = [
            Text(line.cells[place].text, "bold" if line.cells[place].best else "")
            for place in shown
        ]
        ends = following is not None and following.begins
        marks = [Text("; ".join(line.marks))] if marked else []
        table.add_row(*cells, *marks, end_section=ends)
    return table
