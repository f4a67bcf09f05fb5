"""A picture of the receiver operating characteristic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from normlib.checkpoint.saving import replacing

from .verification import RocCurve


def plot_roc(curves: Mapping[str, RocCurve], path: Path, title: str) -> None:
    """Draw true accepts in per cent over the rate of false ones, on a logarithmic axis.

    Args:
        curves: At least one, by the names in the legend. Each begins at one false accept: further
            left there is nothing to measure.
        path: The PNG to write, whole or not at all.
        title: Over the picture.

    Raises:
        OSError: The disk refuses.
    """
    figure = Figure(figsize=(7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, curve in curves.items():
        label = f"{name} ({curve.genuine:,} genuine, {curve.impostors:,} impostor)"
        axes.step(curve.far, 100 * curve.tar, where="post", linewidth=1.8, label=label)
    lowest = min(curve.far[0] for curve in curves.values())
    axes.set_xscale("log")
    axes.set_xlim(10 ** min(-1, math.floor(math.log10(lowest) + 1e-9)), 1)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(*_range(curves))
    axes.set_xlabel("impostor pairs accepted, as a share (FAR)")
    axes.set_ylabel("genuine pairs accepted, per cent (TAR)")
    axes.set_title(title)
    axes.grid(alpha=0.3, which="major")
    axes.grid(alpha=0.12, which="minor")
    axes.legend(loc="best", fontsize="small", title="pairs", title_fontsize="small")
    with replacing(path) as scratch:
        figure.savefig(scratch, format="png", dpi=120)


def _range(curves: Mapping[str, RocCurve]) -> tuple[float, float]:
    """Limits in per cent that leave good curves readable: from the ten below the lowest point."""
    lowest = 100 * min(curve.tar[0] for curve in curves.values())
    bottom = min(90, 10 * math.floor(lowest / 10))
    return bottom, 100 + 0.02 * (100 - bottom)
