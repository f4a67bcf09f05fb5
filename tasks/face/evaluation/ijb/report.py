"""What an IJB evaluation shows and writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from normlib.checkpoint.saving import replacing
from tasks.face.evaluation.roc_plot import plot_roc
from tasks.face.evaluation.verification import far_name

from .protocol import IJBResult


def table(target: str, result: IJBResult) -> str:
    """The figures as text, TAR in per cent."""
    curve = result.curve
    rows = Table(box=SIMPLE)
    rows.add_column("FAR")
    rows.add_column("TAR (%)", justify="right")
    rows.add_column("similarity above", justify="right")
    for point in result.points:
        if point.tar is None:
            rows.add_row(far_name(point.far), "too few impostor pairs", "")
        else:
            rows.add_row(far_name(point.far), f"{100 * point.tar:.2f}", f"{point.threshold:.4f}")
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(rows)
    title = (
        f"{target} 1:1, {result.templates:,} templates of {result.images:,} images; "
        f"{curve.genuine:,} genuine and {curve.impostors:,} impostor pairs"
    )
    lines = capture.get().strip("\n").splitlines()
    return "\n".join([title, *(line.rstrip() for line in lines)])


def write(target: str, result: IJBResult, about: dict[str, Any], folder: Path) -> list[Path]:
    """Write `results.json` and `roc.png`, each whole or not at all.

    Args:
        target: `'IJBB'` or `'IJBC'`.
        result: What was measured.
        about: What it was measured of, as JSON can hold it.
        folder: Made where it does not exist.

    Returns:
        The files.

    Raises:
        OSError: The disk refuses.
    """
    curve = result.curve
    content = {
        "target": target,
        "metrics": {
            f"tar@far={far_name(point.far)}": None if point.tar is None else 100 * point.tar
            for point in result.points
        },
        "thresholds": {far_name(point.far): _finite(point.threshold) for point in result.points},
        "images": result.images,
        "templates": result.templates,
        "genuine_pairs": curve.genuine,
        "impostor_pairs": curve.impostors,
        **about,
    }
    results, picture = folder / "results.json", folder / "roc.png"
    with replacing(results) as scratch:
        scratch.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    plot_roc({target: curve}, picture, f"{target} 1:1")
    return [results, picture]


def _finite(threshold: float | None) -> float | None:
    """A threshold as JSON can hold it; none is where everything is accepted."""
    return None if threshold is None or threshold == float("-inf") else threshold
