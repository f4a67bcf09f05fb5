"""Tables and JSON data of what was measured, with what it was measured on."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

import normlib
from normlib.analysis.hardware import device_name
from normlib.analysis.layer_peers import RATIOS
from normlib.analysis.layer_speed import Case, Comparison, Row, Speed
from normlib.analysis.training_speed import Training

#: What a reader has to know of a run with ``keep_freed_memory``.
MEMORY_KEPT = "The process keeps freed memory: times hold no page faults."

_Column = tuple[str, Callable[[Any], str]]


@dataclass
class Results:
    """What a run has measured so far.

    Attributes:
        device: Where it ran.
        comparisons: Layers on inputs.
        overhead: Layers on a tensor of a few numbers, see ``call_overhead``.
        training: Whole networks.
        memory_kept: Whether the process kept freed memory, see ``keep_freed_memory``.
    """

    device: str
    comparisons: list[Comparison] = field(default_factory=list)
    overhead: list[Comparison] = field(default_factory=list)
    training: list[Training] = field(default_factory=list)
    memory_kept: bool = False

    def data(self) -> dict[str, Any]:
        """Everything, as JSON data."""
        return {"environment": environment(self.device), **asdict(self)}

    def json(self) -> str:
        """Everything, as JSON text."""
        return json.dumps(self.data(), indent=2) + "\n"

    def markdown(self) -> str:
        """The tables, for a README."""
        parts = [f"Measured on {', '.join(environment_lines(self.device))}."]
        if self.memory_kept:
            parts.append(MEMORY_KEPT)
        for comparison in self.comparisons:
            lines = _markdown_rows(_layer_columns(comparison), comparison.rows)
            parts += [f"**{title(comparison.case)}**", lines, _sentences(notes(comparison))]
        for overhead in self.overhead:
            heading = f"**Call overhead: {title(overhead.case)}**"
            parts += [
                heading,
                _markdown_rows(_OVERHEAD, overhead.rows),
                _sentences(notes(overhead)),
            ]
        for training in self.training:
            heading = f"**{training.model}, training step: {title(training.case)}**"
            lines = _markdown_rows(_TRAINING, training.rows)
            parts += [heading, lines, _sentences(_left_out(training.left_out))]
        return "\n\n".join(part for part in parts if part) + "\n"


def environment(device: str) -> dict[str, str | None]:
    """Versions and hardware that measurements hold for."""
    cuda = torch.device(device).type == "cuda"
    cudnn = torch.backends.cudnn.version() if cuda else None
    chosen = normlib.backend()
    return {
        "device": device_name(device),
        "normlib": normlib.__version__,
        "backend": f"{chosen.name} ({chosen.reason})",
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "cudnn": str(cudnn) if cudnn else None,
        "python": platform.python_version(),
    }


def environment_lines(device: str) -> list[str]:
    """The same as pieces of a sentence."""
    facts = environment(device)
    names = ("torch", "cuda", "cudnn", "python", "normlib")
    known = [f"{name} {facts[name]}" for name in names if facts[name]]
    return [str(facts["device"]), *known, f"backend {facts['backend']}"]


def title(case: Case) -> str:
    """The input and how it is run, in a line."""
    layout = case.layout.replace("HW", "DHW") if len(case.shape) == 5 else case.layout
    threads = f"{case.threads} thread{'s' if case.threads > 1 else ''}, "
    where = threads if torch.device(case.device).type == "cpu" else ""
    return f"{case.shape} {layout} {case.dtype}, {where}{case.mode}"


def table(comparison: Comparison) -> list[str]:
    """Lines of the layers on one input."""
    return _text_rows(_layer_columns(comparison), comparison.rows) + notes(comparison)


def overhead_table(comparison: Comparison) -> list[str]:
    """Lines of what a call costs."""
    return _text_rows(_OVERHEAD, comparison.rows) + _left_out(comparison.left_out)


def training_table(training: Training) -> list[str]:
    """Lines of a network with its norms."""
    return _text_rows(_TRAINING, training.rows) + _left_out(training.left_out)


def notes(comparison: Comparison) -> list[str]:
    """What a reader of the rows needs to know."""
    kernels = f"kernels of nn.BatchNorm: {comparison.batch_norm}"
    copy = f"a copy reaches {comparison.copy:.1f} GB/s"
    return [f"{kernels}; {copy}", *_left_out(comparison.left_out)]


def _left_out(reasons: dict[str, str]) -> list[str]:
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names.setdefault(reason, []).append(name)
    return [f"left out: {', '.join(n)}: {reason}" for reason, n in names.items()]


def _layer_columns(comparison: Comparison) -> list[_Column]:
    used = {label for row in comparison.rows for label in row.forward_backward.ratios}
    columns: list[_Column] = [("layer", lambda row: row.layer)]
    columns += _speed_columns("fwd ", lambda row: row.forward, {"nn.BatchNorm"})
    columns += _speed_columns("", lambda row: row.forward_backward, used)
    columns.append(("saved", lambda row: f"{row.saved:.2f}"))
    columns.append(("peak", lambda row: f"{row.peak:.2f}"))
    return columns


def _speed_columns(prefix: str, speed: Callable[[Row], Speed], labels: set[str]) -> list[_Column]:
    columns: list[_Column] = [(f"{prefix}ms", lambda row: f"{speed(row).milliseconds:.3f}")]
    for label, heading in RATIOS.items():
        if label in labels:
            columns.append((prefix + heading, _ratio(speed, label)))
    columns.append((f"{prefix}GB/s", lambda row: f"{speed(row).gigabytes_per_second:.1f}"))
    columns.append((f"{prefix}% copy", lambda row: f"{100 * speed(row).of_copy:.0f}"))
    return columns


def _ratio(speed: Callable[[Row], Speed], label: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        ratio = speed(row).ratios.get(label)
        return "-" if ratio is None else f"{ratio:.2f}"

    return text


_OVERHEAD: list[_Column] = [
    ("layer", lambda row: row.layer),
    ("fwd µs", lambda row: f"{1e3 * row.forward.milliseconds:.1f}"),
    ("fwd x BN", _ratio(lambda row: row.forward, "nn.BatchNorm")),
    ("µs", lambda row: f"{1e3 * row.forward_backward.milliseconds:.1f}"),
    ("x BN", _ratio(lambda row: row.forward_backward, "nn.BatchNorm")),
]


_TRAINING: list[_Column] = [
    ("norm", lambda row: row.norm),
    ("ms", lambda row: f"{row.milliseconds:.1f}"),
    ("images/s", lambda row: f"{row.images_per_second:.1f}"),
    ("x BN", lambda row: f"{row.to_batch_norm:.3f}"),
]


def _text_rows(columns: Sequence[_Column], rows: Sequence[object]) -> list[str]:
    cells = [[name for name, _ in columns], *([text(row) for _, text in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if k else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]


def _markdown_rows(columns: Sequence[_Column], rows: Sequence[object]) -> str:
    first = [name for name, _ in columns]
    rule = ["---", *["---:"] * (len(columns) - 1)]
    cells = [first, rule, *([text(row) for _, text in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _sentences(lines: Sequence[str]) -> str:
    return " ".join(f"{line[0].upper()}{line[1:]}." for line in lines)
