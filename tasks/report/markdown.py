"""The report as Markdown: the same tables and words, without pictures."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from tasks.report.cells import Cell, Table
from tasks.report.content import HOW_TO_READ, Content

_SIGNS = re.compile(r"([\\`*_\[\]|~#$])")


def render_markdown(content: Content, skipped: Iterable[str]) -> str:
    """Writes the report as one Markdown text."""
    blocks = ["# Normalisation layers, measured", text(content.summary)]
    blocks += [f"> **{text(warning)}**" for warning in content.warnings]
    for tables in content.tasks:
        blocks += [f"## {tables.task.capitalize()}", _table(tables.results)]
        blocks += _items(tables.notes)
        if tables.unpublished:
            blocks += ["No published figure stands beside:", *_items(tables.unpublished)]
        if tables.differences is not None:
            blocks += ["### Differences on the same seeds", _table(tables.differences)]
    if left_out := list(skipped):
        blocks += ["## Skipped", *_items(left_out)]
    blocks += ["## How to read this", *_items(HOW_TO_READ)]
    return "\n\n".join(blocks) + "\n"


def text(value: str) -> str:
    """A text from outside, as Markdown shows it unchanged, on one line."""
    escaped = html.escape(" ".join(value.split()), quote=False)
    return _SIGNS.sub(r"\\\1", escaped)


def _items(lines: Iterable[str]) -> list[str]:
    items = [f"- {text(line)}" for line in lines]
    return ["\n".join(items)] if items else []


def _table(table: Table) -> str:
    marked = any(line.marks for line in table.lines)
    titles = [text(column.title) for column in table.columns] + ["remarks"] * marked
    rules = ["---:" if column.numeric else "---" for column in table.columns]
    lines = [_line(titles), _line(rules + ["---"] * marked)]
    for line in table.lines:
        cells = [_cell(cell) for cell in line.cells]
        lines.append(_line([*cells, text("; ".join(line.marks))] if marked else cells))
    return "\n".join(lines)


def _cell(cell: Cell) -> str:
    shown = f"**{text(cell.text)}**" if cell.best else text(cell.text)
    return f"{shown} ({text(cell.detail)})" if cell.detail else shown


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
