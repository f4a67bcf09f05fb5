"""What the layers of runs chose, as pictures: of all tasks together, and of single runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from normlib.analysis import ratio_plots
from normlib.analysis.ratio_file import read_ratios
from normlib.analysis.ratio_record import FILE_NAME, RatioRecord, RatioRecordError
from tasks.report.curves import plain
from tasks.report.naming import norm_rank
from tasks.report.norm_style import style_of
from tasks.report.tables import TaskTables


@dataclass(frozen=True)
class Picture:
    """A picture, and what it shows in a sentence."""

    caption: str
    figure: Figure


@dataclass(frozen=True)
class RatioRun:
    """The ratios of the run that stands for a norm of a model: the one of the lowest seed.

    Attributes:
        task: Folder name of the task.
        model: Title of the model.
        setting: Name of the model in its setting.
        norm: Label of the norm.
        record: What was recorded.
    """

    task: str
    model: str
    setting: str
    norm: str
    record: RatioRecord


def ratio_runs(tables: TaskTables) -> tuple[list[RatioRun], list[str]]:
    """The runs of a task whose ratios are drawn, and a line for each file that cannot be read."""
    runs: list[RatioRun] = []
    broken: list[str] = []
    for group in tables.groups:
        drawn: set[str] = set()
        for run in [record for row in group.rows for record in row.records]:
            if run.norm in drawn or not (run.folder / FILE_NAME).is_file():
                continue
            try:
                record = read_ratios(run.folder)
            except RatioRecordError as error:
                broken.append(f"{run.where}: its ratios are not drawn: {error}")
                continue
            drawn.add(run.norm)
            runs.append(RatioRun(tables.task, group.model, group.name, run.norm, record))
    return runs, broken


def across_tasks(runs: Sequence[RatioRun]) -> list[Picture]:
    """Average ratios of the parts of networks, for each norm with its models side by side."""
    pictures = []
    for norm in sorted({run.norm for run in runs}, key=norm_rank):
        chosen: dict[str, RatioRecord] = {}
        for run in runs:
            if run.norm == norm:
                label = plain(f"{run.model} ({run.task})")
                label = plain(f"{run.setting} ({run.task})") if label in chosen else label
                chosen[label] = run.record
        caption = f"{norm}: mean ratios by part of the network, with their spread over layers"
        pictures += _drawn(caption, partial(ratio_plots.part_averages, chosen))
    return pictures


def of_model(runs: Sequence[RatioRun]) -> list[Picture]:
    """Averages and divergences of the norms of one model side by side, then each norm's layers."""
    together: Mapping[str, RatioRecord] = {plain(run.norm): run.record for run in runs}
    pictures = [
        *_drawn("Mean ratios by part", partial(ratio_plots.part_averages, together)),
        *_drawn(
            "Symmetric KL divergence between the ratios of means and of variances",
            lambda: _in_norm_styles(ratio_plots.divergence(together)),
        ),
    ]
    for run in runs:
        record = run.record
        pictures += _drawn(
            f"{run.norm}: ratios of every layer at the end",
            partial(ratio_plots.layer_bars, record),
        )
        pictures += _drawn(
            f"{run.norm}: mean ratios by part over the training",
            partial(ratio_plots.dynamics, record),
        )
        if record.is_sparse:
            pictures += _drawn(
                f"{run.norm}: what each layer has chosen, over the training",
                partial(ratio_plots.choices, record),
            )
    return pictures


def _in_norm_styles(figure: Figure) -> Figure:
    """Give lines that stand for norms the look that these have elsewhere."""
    named: list[tuple[Artist | None, object]] = [
        (line, line.get_label()) for panel in figure.axes for line in panel.lines
    ]
    for legend in figure.legends:
        texts = [text.get_text() for text in legend.get_texts()]
        named += zip(legend.legend_handles, texts, strict=True)
    for line, label in named:
        if isinstance(line, Line2D) and not str(label).startswith("_"):
            look = style_of(str(label).replace(r"\$", "$"))
            line.set(color=look.colour, linestyle=look.line, marker=look.marker)
    return figure


def _drawn(caption: str, draw: Callable[[], Figure]) -> list[Picture]:
    """The picture, where the ratios allow it."""
    try:
        return [Picture(caption, draw())]
    except RatioRecordError:
        return []
