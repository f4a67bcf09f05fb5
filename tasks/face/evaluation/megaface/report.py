"""Results of MegaFace as a table and as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from normlib.checkpoint.saving import replacing
from tasks.face.evaluation.verification import OperatingPoint

from .protocol import SetResult, figures, metrics

WIDTH = 100
# The suffix of the metrics for each protocol.
SUFFIXES = {"all": "", "cleaned": "_cleaned"}


def table(results: Mapping[str, Sequence[SetResult]]) -> str:
    """Rates in per cent, a row for each set and protocol.

    Args:
        results: By protocol, one of `SUFFIXES`.
    """
    rows = [(name, entry) for name, entries in results.items() for entry in entries]
    columns = sorted({name for _, entry in rows for name in figures(entry)}, key=_column)
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("protocol")
    drawn.add_column("set", overflow="fold")
    drawn.add_column("distractors", justify="right")
    for column in columns:
        drawn.add_column(column, justify="right", no_wrap=True)
    for protocol, entry in rows:
        found = figures(entry)
        cells = [f"{found[name]:.2f}" if name in found else "-" for name in columns]
        drawn.add_row(protocol, entry.name, f"{entry.distractors:,}", *cells)
    console = Console(width=WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(drawn)
    lines = [line.rstrip() for line in capture.get().splitlines() if line.strip()]
    return "\n".join([*lines, "rates in per cent"])


def all_metrics(results: Mapping[str, Sequence[SetResult]]) -> dict[str, float]:
    """The metrics of all protocols in per cent, each under a name of its own."""
    found: dict[str, float] = {}
    for protocol, entries in results.items():
        found |= metrics(entries, SUFFIXES[protocol])
    return found


def write_results(
    path: Path, results: Mapping[str, Sequence[SetResult]], about: Mapping[str, Any]
) -> None:
    """Write everything as JSON: `metrics` in per cent, and `sets` by protocol as shares.

    Args:
        path: The file; it is whole or as it was.
        results: By protocol, one of `SUFFIXES`.
        about: What was measured, as JSON can hold it.

    Raises:
        OSError: The disk refuses.
    """
    content = {
        "about": dict(about),
        "metrics": all_metrics(results),
        "sets": {
            protocol: [_entry(entry) for entry in entries] for protocol, entries in results.items()
        },
    }
    with replacing(path) as scratch:
        scratch.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _column(name: str) -> tuple[bool, float]:
    kind, _, far = name.partition("@far=")
    return (True, -float(far)) if far else (False, float(kind.removeprefix("rank")))


def _entry(result: SetResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "size": result.size,
        "distractors": result.distractors,
        "genuine_pairs": result.pairs,
        "impostor_pairs": result.impostors,
        "cmc": {str(rank): rate for rank, rate in result.cmc.items()},
        "tar_at_far": [_point(point) for point in result.tars],
        "roc": [_point(point) for point in result.curve],
    }


def _point(point: OperatingPoint) -> dict[str, float | None]:
    return {"far": point.far, "tar": point.tar, "threshold": point.threshold}
