"""A roofline of normalisation layers: what they reach of the memory's bandwidth."""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from normlib.analysis.layer_peers import PEERS
from normlib.analysis.layer_speed import Comparison

_COLOURS = {
    "nn.BatchNorm": "tab:blue",
    "nn.GroupNorm(32)": "tab:orange",
    "nn.SyncBatchNorm": "tab:cyan",
    "SN reference": "tab:brown",
    "SN torch.compile": "tab:green",
    "SN eager": "tab:purple",
    "SN native": "tab:red",
}
_STYLES = {"": "-", "relu": "--", "add relu": ":"}


def pyplot() -> Any:
    """matplotlib.pyplot, drawing to files.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        matplotlib = importlib.import_module("matplotlib")
    except ImportError as error:
        raise ImportError("a plot needs matplotlib: pip install matplotlib") from error
    matplotlib.use("Agg")
    return importlib.import_module("matplotlib.pyplot")


def plot(comparisons: Sequence[Comparison], device: str, file: Path) -> None:
    """Draw the bandwidth of forward + backward over the size of the input, under that of a copy.

    One column of panels a layout, one row a dtype, thread count and mode.

    Args:
        comparisons: What was measured, at least one.
        device: Name of the processor or GPU.
        file: The PNG to write.

    Raises:
        ImportError: matplotlib is not installed.
    """
    plt = pyplot()
    ticker = importlib.import_module("matplotlib.ticker")
    layouts = list(dict.fromkeys(c.case.layout for c in comparisons))
    runs = list(dict.fromkeys(_run(c) for c in comparisons))
    figure, axes = plt.subplots(
        len(runs),
        len(layouts),
        figsize=(4.6 * len(layouts) + 2.6, 3.6 * len(runs) + 0.4),
        squeeze=False,
        sharex=True,
        sharey="row",
        layout="constrained",
    )
    ticks = _ticks(comparisons)
    lines: dict[str, Any] = {}
    for run, row in zip(runs, axes, strict=True):
        for layout, panel in zip(layouts, row, strict=True):
            chosen = [c for c in comparisons if (c.case.layout, _run(c)) == (layout, run)]
            _panel(panel, chosen, lines)
            panel.set_title(f"{layout}, {run}")
        row[0].set_ylabel("least traffic / time (GB/s)")
        row[0].yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        row[0].yaxis.set_major_formatter("{x:g}")
        row[0].yaxis.set_minor_locator(ticker.NullLocator())
    for panel in axes[-1]:
        panel.set_xlabel("size of the input (MB)")
        panel.set_xticks(ticks, [f"{size:.3g}" for size in ticks])
        panel.xaxis.set_minor_locator(ticker.NullLocator())
    names = [name for name in ("copy", *PEERS) if name in lines]
    figure.legend([lines[n] for n in names], names, loc="outside right upper", frameon=False)
    figure.suptitle(f"Normalisation layers, forward + backward, on {device}")
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _run(comparison: Comparison) -> str:
    case = comparison.case
    plural = "s" if case.threads > 1 else ""
    threads = f", {case.threads} thread{plural}" if case.device == "cpu" else ""
    return f"{case.dtype}{threads}, {case.mode}"


def _panel(panel: Any, comparisons: Sequence[Comparison], lines: dict[str, Any]) -> None:
    """Draw layers: a mark for each input, a line through the means of inputs of the same size."""
    points: dict[str, list[tuple[float, float]]] = {}
    for comparison in comparisons:
        size = _megabytes(comparison)
        points.setdefault("copy", []).append((size, comparison.copy))
        for row in comparison.rows:
            speed = row.forward_backward.gigabytes_per_second
            points.setdefault(row.layer, []).append((size, speed))
    for name, measured in points.items():
        peer = PEERS.get(name)
        colour = _COLOURS[peer.family] if peer else "black"
        sizes = sorted({size for size, _ in measured})
        means = [statistics.geometric_mean(y for x, y in measured if x == size) for size in sizes]
        marker = "s" if peer and peer.fused else "o"
        panel.plot(*zip(*measured, strict=True), marker, color=colour, markersize=4, alpha=0.6)
        style = _STYLES[peer.tail] if peer else "-"
        width = 3 if not peer else 2 if peer.fused else 1
        (lines[name],) = panel.plot(sizes, means, style, color=colour, linewidth=width)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.grid(alpha=0.3, which="both")


def _ticks(comparisons: Sequence[Comparison]) -> list[float]:
    """The sizes that were measured, those left out that are close to a smaller one."""
    ticks: list[float] = []
    for size in sorted({_megabytes(c) for c in comparisons}):
        if not ticks or size > 1.3 * ticks[-1]:
            ticks.append(size)
    return ticks


def _megabytes(comparison: Comparison) -> float:
    return 1e-6 * comparison.case.bytes
