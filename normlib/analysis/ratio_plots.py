"""Pictures of importance ratios, as in the papers on SN (arXiv 1907.10473) and SSN (1903.03793).

Every function returns a new figure, see :mod:`normlib.analysis.figures`, and raises ImportError
where matplotlib is missing. Unless they are over iterations, pictures show the last ratios of a
record.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from normlib.analysis.figures import INK, fill, new_figure, put_legend, style
from normlib.analysis.ratio_axis import ordered, put_axis, put_headings
from normlib.analysis.ratio_dynamics import choices, dynamics
from normlib.analysis.ratio_record import RatioRecord, RatioRecordError
from normlib.analysis.ratio_summary import PartMean, match_layers, part_means, symmetric_kl
from normlib.functional import NORMALIZERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["choices", "comparison", "divergence", "dynamics", "layer_bars", "part_averages"]

# Of several records: colour, marker, dashes.
_RECORDS = (
    ("#D55E00", "o", "-"),
    ("#56B4E9", "s", "--"),
    ("#CC79A7", "^", "-."),
    ("#7F7F7F", "D", ":"),
)
# Of a line of text in a picture.
_MOST_CHARACTERS = 90


def part_averages(records: Mapping[str, RatioRecord]) -> Figure:
    """Averages over the layers of every part of some networks (SN, Figs. 1 and 4).

    A thin line is a standard deviation over the layers up and down, cut off at 0 and 1.

    Args:
        records: By the name to show, such as the task.

    Raises:
        RatioRecordError: There is no record.
    """
    _check_any(records)
    rows: list[PartMean] = []
    places: list[float] = []
    spans: list[tuple[str, float, float]] = []
    for name, record in records.items():
        parts = part_means(record)
        start = spans[-1][2] + 0.4 if spans else -0.5
        spans.append((name, start, start + len(parts)))
        places += [start + 0.5 + k for k in range(len(parts))]
        rows += parts
    width = max(5.0, min(12.0, 1.5 + 0.75 * spans[-1][2]))
    figure, axes = new_figure(width, 4.6, 2, sharex=True, sharey=True)
    with style():
        for statistics, panel in zip(("mean", "variance"), axes[:, 0], strict=True):
            heights = np.array([getattr(row, statistics) for row in rows])
            spreads = np.array([getattr(row, f"{statistics}_spread") for row in rows])
            # Rounding may leave an average above 1.
            room = np.stack([heights, 1 - heights]).clip(min=0)
            limits = np.minimum(spreads, room)
            for k, normalizer in enumerate(NORMALIZERS):
                x = np.array(places) + 0.27 * (k - 1)
                panel.bar(x, heights[:, k], 0.25, **fill(normalizer))
                panel.errorbar(
                    x, heights[:, k], limits[..., k], fmt="none", ecolor=INK, elinewidth=0.8
                )
            panel.set_ylim(0, 1)
            panel.set_ylabel(f"ratio of {statistics}s")
            panel.grid(axis="y")
            panel.set_axisbelow(True)
        axes[0, 0].set_xlim(-0.7, spans[-1][2] + 0.2)
        put_headings(axes[0, 0], spans)
        tilted: dict[str, Any] = dict(rotation=30, ha="right") if len(rows) > 6 else {}
        axes[1, 0].set_xticks(places, [row.part for row in rows], **tilted)
        put_legend(figure)
    return figure


def layer_bars(record: RatioRecord, axis: str = "depth") -> Figure:
    """The ratios of every layer as stacked bars (SN, Fig. 5).

    Args:
        record: What to draw.
        axis: What layers are ordered by, ``'depth'`` or ``'receptive field'``.

    Raises:
        RatioRecordError: See :func:`normlib.analysis.ratio_axis.ordered`.
    """
    shown = ordered(record, axis)
    figure, axes = new_figure(8, 4.2, 2, sharex=True, sharey=True)
    with style():
        values = (("mean", shown.means[-1]), ("variance", shown.variances[-1]))
        for (statistics, ratios), panel in zip(values, axes[:, 0], strict=True):
            _stack(panel, ratios)
            panel.set_ylim(0, 1)
            panel.set_ylabel(f"ratio of {statistics}s")
        put_axis(axes[:, 0], shown, record, axis)
        put_legend(figure)
    return figure


def divergence(records: Mapping[str, RatioRecord], axis: str = "depth") -> Figure:
    """How far the ratios of means and of variances are apart, layer by layer.

    It is their symmetric KL divergence, see :func:`normlib.analysis.ratio_summary.symmetric_kl`.

    Args:
        records: By the name to show.
        axis: See :func:`layer_bars`. Over depth, parts are named for a single record alone.

    Raises:
        RatioRecordError: There is no record, or see :func:`layer_bars`.
    """
    _check_any(records)
    figure, axes = new_figure(8, 2.8)
    panel = axes[0, 0]
    with style():
        for k, (name, record) in enumerate(records.items()):
            shown = ordered(record, axis)
            if axis == "depth":
                x: Any = np.arange(len(shown.layers))
            else:
                x = [layer.receptive_field for layer in shown.layers]
            colour, marker, dashes = _RECORDS[k % len(_RECORDS)]
            # Several layers may have one receptive field.
            line = dashes if axis == "depth" else "none"
            looks = dict(color=colour, marker=marker, linestyle=line, clip_on=False)
            panel.plot(x, symmetric_kl(shown), label=name, **looks)
        panel.set_ylabel("symmetric KL (nats)")
        panel.set_ylim(bottom=0)
        panel.grid(axis="y")
        if axis == "depth":
            longest = max(records.values(), key=lambda record: len(record.layers))
            put_axis([panel], longest, longest, axis)
        else:
            panel.set_xlabel("receptive field (pixels)")
        if len(records) > 1:
            figure.legend(loc="outside upper center", ncols=4)
    return figure


def comparison(
    one: RatioRecord, other: RatioRecord, names: tuple[str, str], axis: str = "depth"
) -> Figure:
    """What the ratios of two networks differ by in the layers that they share.

    Bars go up by what the other network has more of, and down by what it has less of.

    Args:
        one: The first network.
        other: The second, which need not have all layers of the first.
        names: What they are called.
        axis: See :func:`layer_bars`. Receptive fields are those of the first network.

    Raises:
        RatioRecordError: They share no layer, see
            :func:`normlib.analysis.ratio_summary.match_layers`, or see :func:`layer_bars`.
    """
    matching = match_layers(one, other)
    shared = one.select([place for place, _ in matching.pairs])
    shown = ordered(shared, axis)
    twins = {one.layers[place].name: twin for place, twin in matching.pairs}
    twin = other.select([twins[layer.name] for layer in shown.layers])
    figure, axes = new_figure(8, 4.4, 2, sharex=True, sharey=True)
    with style():
        values = (
            ("mean", twin.means[-1] - shown.means[-1]),
            ("variance", twin.variances[-1] - shown.variances[-1]),
        )
        for (statistics, differences), panel in zip(values, axes[:, 0], strict=True):
            _stack(panel, np.maximum(differences, 0))
            _stack(panel, np.minimum(differences, 0))
            panel.use_sticky_edges = False
            panel.axhline(0, color=INK, linewidth=0.8)
            panel.set_ylabel(f"difference of {statistics}s")
            panel.grid(axis="y")
            panel.set_axisbelow(True)
        put_axis(axes[:, 0], shown, shared, axis)
        alone = zip(names, (matching.only_one, matching.only_other), strict=True)
        notes = [f"only in {name} ({len(layers)})" for name, layers in alone if layers]
        if notes:
            label = f"{axes[1, 0].get_xlabel()}; not drawn, since {', '.join(notes)}"
            axes[1, 0].set_xlabel(_in_lines(label))
        put_legend(figure)
        figure.legends[0].set_title(_in_lines(f"{names[1]} − {names[0]}"))
    return figure


def _check_any(records: Mapping[str, RatioRecord]) -> None:
    if not records:
        raise RatioRecordError("there is no record of ratios to draw")


def _in_lines(text: str) -> str:
    return textwrap.fill(text, _MOST_CHARACTERS, break_on_hyphens=False)


def _stack(panel: Any, heights: NDArray[np.float32]) -> None:
    """Bars at 0, 1, 2, ... of heights of shape (L, 3) on top of each other."""
    bottom = np.zeros_like(heights[:, 0])
    for k, name in enumerate(NORMALIZERS):
        panel.bar(np.arange(len(heights)), heights[:, k], 0.9, bottom, **fill(name))
        bottom = bottom + heights[:, k]
