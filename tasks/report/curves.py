"""Learning curves of a task: one picture with a line of panels for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from normlib.analysis.figures import new_figure, style
from tasks.report.naming import distinct
from tasks.report.norm_style import style_of
from tasks.report.runs import Group, Row
from tasks.report.scalars import Curve, read_curves
from tasks.task_metrics import TaskMetric

_LONGEST = 48  # signs of a label
_MOST_POINTS = 200  # of a curve; a long training has thousands


def learning_curves(groups: Sequence[Group], metric: TaskMetric) -> Figure | None:
    """Loss and main metric over iterations: runs thin, their mean over seeds thick.

    Args:
        groups: Models of one task in their settings.
        metric: The task's main metric.

    Returns:
        The picture; None where no run has written scalars.
    """
    drawn = [(group, _curves(group, metric)) for group in groups]
    drawn = [(group, curves) for group, curves in drawn if curves]
    if not drawn:
        return None
    with style():
        return _figure(drawn, metric)


def plain(text: str) -> str:
    """A text for matplotlib: not so long that it takes a picture's place, and no formula."""
    short = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return short.replace("$", r"\$")


def _figure(
    drawn: Sequence[tuple[Group, Mapping[Row, list[tuple[Curve, Curve]]]]], metric: TaskMetric
) -> Figure:
    figure, axes = new_figure(11, 2.6 * len(drawn) + 0.5, rows=len(drawn), columns=2)
    for (group, curves), panels in zip(drawn, axes, strict=True):
        panels[1].sharex(panels[0])
        for row, runs in curves.items():
            for panel, quantity in zip(panels, zip(*runs, strict=True), strict=True):
                _draw(panel, row.norm, quantity)
        panels[0].set_title(plain(group.name), loc="left", fontsize=9)
        panels[0].set_ylabel("loss")
        panels[1].set_ylabel(f"{plain(metric.title)} (%)")
    for panel in axes[-1]:
        panel.set_xlabel("iteration")
    norms = distinct(row.norm for _, curves in drawn for row in curves)
    figure.legend(
        [_handle(norm) for norm in norms],
        [plain(norm) for norm in norms],
        loc="outside upper center",
        ncols=min(len(norms), 9),
        frameon=False,
        handlelength=3,
    )
    return figure


def _curves(group: Group, metric: TaskMetric) -> Mapping[Row, list[tuple[Curve, Curve]]]:
    """Loss and metric of the runs that have any, by row."""
    found = {}
    for row in group.rows:
        curves = [read_curves(record, metric) for record in row.records]
        curves = [pair for pair in curves if any(curve.values for curve in pair)]
        if curves:
            found[row] = curves
    return found


def _draw(panel: Any, norm: str, curves: Sequence[Curve]) -> None:
    curves = [curve for curve in curves if curve.values]
    if not curves:
        return
    norm_style = style_of(norm)
    marker = norm_style.marker if max(len(curve.values) for curve in curves) <= 12 else ""
    several = len(curves) > 1
    look = {"color": norm_style.colour, "linestyle": norm_style.line, "markersize": 3.5}
    for curve in curves:
        thin = curve.thinned(_MOST_POINTS)
        width, alpha, mark = (0.6, 0.45, "") if several else (1.6, 1.0, marker)
        panel.plot(thin.iterations, thin.values, linewidth=width, alpha=alpha, marker=mark, **look)
    if several and (mean := _mean(curves).thinned(_MOST_POINTS)).values:
        panel.plot(mean.iterations, mean.values, linewidth=1.8, marker=marker, **look)


def _mean(curves: Sequence[Curve]) -> Curve:
    """The mean at the iterations that all curves have."""
    tables = [dict(zip(curve.iterations, curve.values, strict=True)) for curve in curves]
    common = sorted(set.intersection(*(set(table) for table in tables)))
    return Curve(
        tuple(common), tuple(float(np.mean([table[k] for table in tables])) for k in common)
    )


def _handle(norm: str) -> Line2D:
    look = style_of(norm)
    return Line2D([], [], color=look.colour, linestyle=look.line, marker=look.marker, markersize=4)
