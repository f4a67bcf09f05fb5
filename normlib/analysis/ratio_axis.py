"""Layers along an axis of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from normlib.analysis.figures import INK
from normlib.analysis.ratio_record import RatioRecord, RatioRecordError

#: What layers can be ordered by.
AXES = ("depth", "receptive field")
_MOST_TICKS = 14
# Of a character of a heading, in inches.
_CHARACTER = 0.09
_LINE = 0.17


def ordered(record: RatioRecord, axis: str) -> RatioRecord:
    """The layers in the order of an axis, without those that have no place on it.

    Args:
        record: Any record.
        axis: One of :data:`AXES`.

    Raises:
        RatioRecordError: The axis is not known, or no layer has a place on it.
    """
    if axis not in AXES:
        raise RatioRecordError(f"axis is {axis!r}; it must be one of {', '.join(map(repr, AXES))}")
    if axis == "depth":
        return record
    fields = [layer.receptive_field for layer in record.layers]
    known = [k for k, field in enumerate(fields) if field is not None]
    if not known:
        raise RatioRecordError(
            f"{record.source} does not say the receptive field of any layer; draw over depth"
        )
    return record.select(sorted(known, key=lambda k: fields[k] or 0))


def put_axis(panels: Sequence[Any], shown: RatioRecord, whole: RatioRecord, axis: str) -> None:
    """Label the layers of panels above each other, which have the places 0, 1, 2, ...

    Args:
        panels: From top to bottom.
        shown: What :func:`ordered` gave.
        whole: What it was given.
        axis: The axis.
    """
    count = len(shown.layers)
    for panel in panels:
        panel.set_xlim(-0.6, count - 0.4)
    places = thinned(count)
    if axis == "depth":
        panels[-1].set_xticks(places, [str(k + 1) for k in places])
        panels[-1].set_xlabel("layer, from input to output")
        spans = part_spans(shown)
        put_headings(panels[0], spans)
        for panel in panels:
            for _, start, _ in spans[1:]:
                panel.axvline(start, color=INK, linewidth=1)
    else:
        panels[-1].set_xticks(places, [str(shown.layers[k].receptive_field) for k in places])
        left_out = len(whole.layers) - count
        note = f"; unknown or unbounded for {left_out} of {len(whole.layers)} layers"
        panels[-1].set_xlabel("receptive field (pixels)" + (note if left_out else ""))


def part_spans(record: RatioRecord) -> list[tuple[str, float, float]]:
    """Each part with where its layers begin and end on an axis of places 0, 1, 2, ..."""
    spans, start = [], -0.5
    for part, layers in groupby(record.layers, key=lambda layer: layer.part):
        end = start + len(list(layers))
        spans.append((part, start, end))
        start = end
    return spans


def put_headings(panel: Any, spans: Sequence[tuple[str, float, float]]) -> None:
    """Write names over spans of the horizontal axis, in several lines where they are narrow."""
    left, right = panel.get_xlim()
    inch = (right - left) / (panel.figure.get_figwidth() - 1)
    ends: list[float] = []
    for name, start, end in spans:
        half = len(name) * _CHARACTER * inch / 2
        middle = min(max((start + end) / 2, left + half), right - half)
        line = next((k for k, taken in enumerate(ends) if taken <= middle - half), len(ends))
        ends[line:] = [middle + half, *ends[line + 1 :]]
        panel.annotate(
            name,
            (middle, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4 + 72 * _LINE * line),
            textcoords="offset points",
            ha="center",
        )


def thinned(count: int, most: int = _MOST_TICKS) -> list[int]:
    """Places of ``count`` that can be labelled without crowding."""
    return list(range(0, count, max(1, -(-count // most))))
