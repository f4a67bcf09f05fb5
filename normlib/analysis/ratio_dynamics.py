"""Pictures of importance ratios in the course of a training.

Of a long training they show :data:`MOST_MOMENTS` moments, evenly spread over those recorded.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from normlib.analysis.figures import (
    COLOURS,
    DASHES,
    INK,
    MARKERS,
    fill,
    new_figure,
    put_legend,
    style,
)
from normlib.analysis.ratio_axis import part_spans, thinned
from normlib.analysis.ratio_record import RatioRecord, RatioRecordError
from normlib.analysis.ratio_summary import hard_choices
from normlib.functional import NORMALIZERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: That a picture shows; a record has some hundreds, which no eye tells apart.
MOST_MOMENTS = 80
_MOST_COLUMNS = 6
_MARKS = 6


def dynamics(record: RatioRecord, by: str = "part", layers: Sequence[str] | None = None) -> Figure:
    """Ratios over iterations (SN, Figs. 7 and 13).

    Args:
        record: What to draw.
        by: ``'part'`` for averages over the layers of each part, in whose band half of the layers
            lie; ``'layer'`` for layers.
        layers: Names of the layers to draw; by default six from the first to the last.

    Raises:
        RatioRecordError: There are fewer than two moments, ``by`` is not known, or the record has
            no layer of a name.
    """
    record = _some_moments(record)
    if by == "part":
        columns = {
            f"{p} ({len(part.layers)})": part for p in record.parts if (part := record.part(p))
        }
    elif by == "layer":
        columns = _chosen(record, layers)
    else:
        raise RatioRecordError(f"by is {by!r}; it must be 'part' or 'layer'")
    width = 1.2 + max(1.55 * len(columns), 3)
    figure, axes = new_figure(width, 4, 2, len(columns), sharex=True, sharey=True)
    with style():
        for (name, part), panels in zip(columns.items(), axes.T, strict=True):
            panels[0].set_title(name.replace(".", ".\n", 1) if by == "layer" else name)
            _lines(panels[0], part.iterations, part.means)
            _lines(panels[1], part.iterations, part.variances)
        axes[0, 0].set_ylabel("ratio of means")
        axes[1, 0].set_ylabel("ratio of variances")
        axes[0, 0].set_ylim(-0.02, 1.02)
        _put_iterations(axes[1])
        handles = [axes[0, 0].lines[k] for k in range(len(NORMALIZERS))]
        figure.legend(handles, NORMALIZERS, loc="outside upper center", ncols=3, handlelength=3)
    return figure


def choices(record: RatioRecord) -> Figure:
    """What every layer has chosen, over iterations (SSN, Fig. 8).

    Full colours are one-hot ratios; faint ones show the largest of ratios that are still soft.

    Args:
        record: What to draw.

    Raises:
        RatioRecordError: There are fewer than two moments.
    """
    record = _some_moments(record)
    count = len(record.layers)
    height = max(2.6, min(9.0, 1.3 + 0.12 * count))
    figure, axes = new_figure(8, height, 1, 2, sharex=True, sharey=True)
    middles = (record.iterations[1:] + record.iterations[:-1]) / 2
    edges = np.array([record.iterations[0], *middles, record.iterations[-1]])
    with style():
        ratios = (record.means, record.variances)
        for panel, hard, soft in zip(axes[0], hard_choices(record), ratios, strict=True):
            _runs(panel, edges, np.where(hard >= 0, hard, soft.argmax(-1) + len(NORMALIZERS)))
        axes[0, 0].set_title("means")
        axes[0, 1].set_title("variances")
        axes[0, 0].set_ylabel("layer, from input to output")
        axes[0, 0].set_ylim(count - 0.5, -0.5)
        places = thinned(count)
        axes[0, 0].set_yticks(places, [str(k + 1) for k in places])
        axes[0, 0].set_xlim(edges[0], edges[-1])
        for name, start, end in part_spans(record):
            for panel in axes[0]:
                panel.axhline(start, color=INK, linewidth=0.7)
            axes[0, 1].annotate(
                name,
                (1.02, (start + end) / 2),
                xycoords=("axes fraction", "data"),
                va="center",
            )
        _put_iterations(axes[0])
        put_legend(figure, {"faint: largest, still soft": _faint("#7F7F7F")})
    return figure


def _some_moments(record: RatioRecord) -> RatioRecord:
    if len(record.iterations) < 2:
        raise RatioRecordError(
            f"{record.source} has {len(record.iterations)} moment of a training; the course of it "
            "needs two"
        )
    last = len(record.iterations) - 1
    return record.at(*np.linspace(0, last, min(MOST_MOMENTS, last + 1)).round().astype(int))


def _chosen(record: RatioRecord, names: Sequence[str] | None) -> dict[str, RatioRecord]:
    places = {layer.name: k for k, layer in enumerate(record.layers)}
    if names is None:
        count = min(_MOST_COLUMNS, len(places))
        spaced = np.linspace(0, len(places) - 1, count).round().astype(int)
        names = [record.layers[k].name for k in spaced]
    absent = [name for name in names if name not in places]
    if absent or not names:
        raise RatioRecordError(
            f"{record.source} has no layer {', '.join(absent) or 'to draw'}; its layers are "
            f"{', '.join(list(places)[:3])} and so on"
        )
    return {name: record.select([places[name]]) for name in names}


def _lines(panel: Any, iterations: NDArray[np.int64], ratios: NDArray[np.float32]) -> None:
    """The averages of ratios of shape (T, L, 3), and the band of the middle half of layers."""
    every = max(1, len(iterations) // _MARKS)
    for k, name in enumerate(NORMALIZERS):
        low, high = np.quantile(ratios[..., k], (0.25, 0.75), axis=1)
        colour = COLOURS[name]
        panel.fill_between(iterations, low, high, color=colour, alpha=0.15, linewidth=0)
        panel.plot(
            iterations,
            ratios[..., k].mean(1),
            DASHES[name],
            color=colour,
            marker=MARKERS[name],
            markevery=(k * every // 3, every),
        )
    panel.grid(axis="y")


def _runs(panel: Any, edges: NDArray[np.float64], values: NDArray[np.int64]) -> None:
    """Areas of moments and layers with one value: 0 to 2 if hard, 3 to 5 if soft.

    All rectangles of a value are one path, and neighbouring layers with the same run of it share
    one: of a deep network there are thousands.
    """
    found: dict[int, dict[tuple[int, int], list[list[int]]]] = {}
    for layer, row in enumerate(values.T):
        changes = [0, *(np.flatnonzero(np.diff(row)) + 1), len(row)]
        for run in pairwise(changes):
            spans = found.setdefault(int(row[run[0]]), {}).setdefault(run, [])
            if spans and spans[-1][1] == layer:
                spans[-1][1] += 1
            else:
                spans.append([layer, layer + 1])
    path = importlib.import_module("matplotlib.path").Path
    patch = importlib.import_module("matplotlib.patches").PathPatch
    for value, runs in found.items():
        name = NORMALIZERS[value % len(NORMALIZERS)]
        looks = _faint(COLOURS[name]) if value >= len(NORMALIZERS) else fill(name)
        boxes = [
            (edges[begin], edges[end], top - 0.5, bottom - 0.5)
            for (begin, end), spans in runs.items()
            for top, bottom in spans
        ]
        corners = np.array([[(x, y), (z, y), (z, w), (x, w)] for x, z, y, w in boxes])
        panel.add_patch(patch(path.make_compound_path_from_polys(corners), **looks))


def _faint(colour: str) -> dict[str, Any]:
    return dict(facecolor=colour, alpha=0.3, linewidth=0)


def _put_iterations(panels: Sequence[Any]) -> None:
    ticker = importlib.import_module("matplotlib.ticker")
    for panel in panels:
        panel.xaxis.set_major_locator(ticker.MaxNLocator(3, integer=True))
        panel.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
        panel.set_xlabel("iteration")
