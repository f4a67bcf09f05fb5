"""What :mod:`normlib.openmmlab.inference_speed` has measured, as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from normlib.analysis.speed_report import MEMORY_KEPT, environment, environment_lines
from normlib.openmmlab.inference_speed import InferenceSpeed
from normlib.openmmlab.norm_variants import VARIANTS


def as_json(speed: InferenceSpeed) -> str:
    """Everything, with the hardware and the versions, as JSON text."""
    data = {"environment": environment(speed.settings.device), **asdict(speed)}
    return json.dumps(data, indent=2) + "\n"


def as_text(speed: InferenceSpeed) -> str:
    """A Markdown table, what it was measured on, and what its names mean."""
    lines = [", ".join(environment_lines(speed.settings.device)), _what(speed), "", *_table(speed)]
    lines += ["", *(f"- {name}: {VARIANTS[name]}" for name in speed.norms), ""]
    return "\n".join([*lines, *_notes(speed)])


def _what(speed: InferenceSpeed) -> str:
    settings, size = speed.settings, speed.size
    module = f", {settings.module}" if settings.module else ""
    frames = "" if size.frames is None else f"{size.frames} frames of "
    layout = "channels last" if settings.channels_last else "channels first"
    dtype = "float32" if settings.amp is None else f"autocast to {settings.amp}"
    threads = f", {speed.threads} thread{'s' if speed.threads > 1 else ''}"
    return (
        f"{speed.config}{module} ({speed.network}), "
        f"{speed.checkpoint or 'no checkpoint'}; {frames}{size.height} x {size.width} pixels, "
        f"{dtype}, {layout}{threads if settings.on_cpu else ''}"
    )


def _table(speed: InferenceSpeed) -> list[str]:
    first = next(iter(speed.norms))
    table = Table("variant", box=MARKDOWN)
    rate = "images/s" if speed.size.frames is None else "clips/s"
    for heading in ("batch", "ms", "10-90 %", rate, f"x {first}"):
        table.add_column(heading, justify="right")
    table.add_column("norm layers")
    for row in speed.rows:
        table.add_row(
            row.variant,
            str(row.batch_size),
            f"{row.milliseconds:.1f}",
            f"{row.low:.1f}-{row.high:.1f}",
            f"{row.images_per_second:.1f}",
            f"{row.to_first:.2f}",
            ", ".join(f"{count} {kind}" for kind, count in speed.norms[row.variant].items()),
        )
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines() if line.strip()]


def _notes(speed: InferenceSpeed) -> list[str]:
    notes = [
        f"Median of {speed.settings.rounds} interleaved rounds and 10th to 90th percentile; ratios "
        "are medians of those within a round."
    ]
    if speed.memory_kept:
        notes.append(MEMORY_KEPT)
    if any("/" in kind for kinds in speed.norms.values() for kind in kinds):
        notes.append("Of two statistics, as in bn/in, the first is for means, the other variances.")
    if not speed.learned and any(name.startswith("hard") for name in speed.norms):
        notes.append(
            "There are no learned ratios: hard layers take the statistics that they can in turn, "
            "in the order of the network."
        )
    if speed.boxes is not None:
        notes.append(
            f"The heads of the second stage work on the same {speed.boxes} boxes an image in all "
            "variants; the suppression of proposals takes a time that depends on the weights."
        )
    for name, unfolded in speed.unfolded.items():
        for why, layers in _by_reason(unfolded).items():
            more = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
            notes.append(f"{name}: {layers[0]}{more} not folded: {why}.")
    notes += [f"Left out: {name}: {why}." for name, why in speed.left_out.items()]
    notes += [
        f"{pair} differ by {difference:.1e} of their largest output."
        for pair, difference in speed.differences.items()
    ]
    return notes


def _by_reason(unfolded: dict[str, str]) -> dict[str, list[str]]:
    """The names of layers for each reason."""
    reasons: dict[str, list[str]] = {}
    for layer, why in unfolded.items():
        layer = layer.removeprefix("model.").removeprefix("detector.")
        reasons.setdefault(why, []).append(layer)
    return reasons
