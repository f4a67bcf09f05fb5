"""The report as one HTML page, which needs no other file and no network."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from normlib.analysis.figures import to_svg
from tasks.report.cells import Cell, Table
from tasks.report.content import HOW_TO_READ, Content
from tasks.report.curves import learning_curves
from tasks.report.norm_style import style_of
from tasks.report.ratio_pictures import Picture, RatioRun, across_tasks, of_model, ratio_runs
from tasks.report.tables import TaskTables

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Drawing:
    """A picture as it stands in the page."""

    caption: str
    svg: Markup


@dataclass(frozen=True)
class Section:
    """A task with its pictures; those of ratios by model."""

    tables: TaskTables
    curves: Drawing | None
    ratios: tuple[tuple[str, tuple[Drawing, ...]], ...]


def render_page(content: Content) -> tuple[str, list[str]]:
    """Writes the page.

    Returns:
        The HTML, and a line for each file of ratios that could not be read.
    """
    all_runs, sections, broken = [], [], []
    for tables in content.tasks:
        runs, lines = ratio_runs(tables)
        all_runs += runs
        broken += lines
        by_model: dict[str, list[RatioRun]] = {}
        for run in runs:
            by_model.setdefault(run.setting, []).append(run)
        ratios = [
            (
                model,
                tuple(_drawing(p, f"{tables.task}, {model}") for p in of_model(chosen)),
            )
            for model, chosen in by_model.items()
        ]
        sections.append(Section(tables, _curves(tables), tuple(ratios)))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["interval_places"] = interval_places
    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    html = environment.get_template("report.html").render(
        content=content,
        sections=sections,
        together=[_drawing(picture, "all tasks") for picture in across_tasks(all_runs)],
        how_to_read=HOW_TO_READ,
        skipped=[*content.skipped, *broken],
        style_of=style_of,
        # Both are files of this package; what comes from outside is escaped.
        style=Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return html, broken


def interval_places(cell: Cell, table: Table) -> list[float]:
    """Where to draw an interval: both ends and the middle, in per cent of the width.

    Zero is at 50; all intervals of a table have one scale.
    """
    assert cell.interval is not None
    drawn = [c.interval for line in table.lines for c in line.cells if c.interval is not None]
    widest = max(abs(end) for ends in drawn for end in ends) or 1.0
    return [round(50 + 48 * value / widest, 2) for value in cell.interval]


def _curves(tables: TaskTables) -> Drawing | None:
    figure = learning_curves(tables.groups, tables.metrics[0])
    if figure is None:
        return None
    caption = f"Loss and {tables.metrics[0].title} over iterations"
    return _drawing(Picture(caption, figure), tables.task)


def _drawing(picture: Picture, of: str) -> Drawing:
    return Drawing(picture.caption, Markup(to_svg(picture.figure, f"{of}: {picture.caption}")))
