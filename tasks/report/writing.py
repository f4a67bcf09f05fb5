"""The files of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from normlib.checkpoint.saving import replacing
from tasks.report.content import gather
from tasks.report.errors import ReportError
from tasks.report.markdown import render_markdown
from tasks.report.page import render_page
from tasks.report.terminal import terminal_tables

PAGE, MARKDOWN = "report.html", "report.md"


@dataclass(frozen=True)
class Report:
    """A report that was written.

    Attributes:
        html: The page.
        markdown: The same tables as Markdown.
        rows: Number of rows in all tables of results.
        skipped: A line for each work directory or file that was left out, which says why.
        tables: The tables of results for a terminal, one a task.
    """

    html: Path
    markdown: Path
    rows: int
    skipped: tuple[str, ...]
    tables: tuple[Table, ...]


def write_report(folders: Sequence[Path], out: Path) -> Report:
    """Reads work directories below folders and writes `report.html` and `report.md`.

    Args:
        folders: Work directories, or folders above them.
        out: Folder of the two files; made where it is missing. Each is replaced as a whole.

    Raises:
        ReportError: A folder does not exist, none holds a run, or the files cannot be written.
        MetafileError: The project's published figures cannot be read.
    """
    content = gather(folders)
    page, broken = render_page(content)
    skipped = (*content.skipped, *broken)
    texts = {PAGE: page, MARKDOWN: render_markdown(content, skipped)}
    try:
        for name, text in texts.items():
            with replacing(out / name) as scratch:
                scratch.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise ReportError(f"{out} cannot be written to: {error.strerror}") from error
    tables = tuple(terminal_tables(content.tasks))
    return Report(out / PAGE, out / MARKDOWN, content.rows, skipped, tables)
