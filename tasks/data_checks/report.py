"""What a look through a data set found, as text and as files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from normlib.checkpoint.saving import replacing

from .problem_kinds import by_kind
from .scan import Findings

WIDTH = 100
_ROWS = 10  # of the most, and of the least frequent classes
_NAMED = 10
_SHOWN = 3


def report(
    title: str, findings: Findings, total: int, classes: Sequence[str], label_unit: str
) -> str:
    """A text of lines of at most 100 columns, long file names aside.

    Args:
        title: what was looked through.
        findings: what was found.
        total: number of samples that the data set has.
        classes: names of its classes.
        label_unit: what the labels count.
    """
    seen = findings.samples
    looked = "" if seen == total else f", {seen:,} of them looked at"
    parts = [
        f"{title}: {_samples(total)}{looked}",
        _sizes(findings),
        _histogram(findings, classes, label_unit),
        _ignored(findings, label_unit),
        _absent(findings, classes),
        _problems(findings),
        _verdict(findings, total),
    ]
    return "\n".join(part for part in parts if part)


def write_labels(path: Path, findings: Findings, classes: Sequence[str], label_unit: str) -> None:
    """Write the whole label histogram as CSV, one class a line.

    Raises:
        OSError: the file cannot be written.
    """
    total = findings.labels.total()
    with replacing(path) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "class", label_unit, "share", "samples"])
        for label, name in enumerate(classes):
            count = findings.labels[label]
            share = f"{count / total:.6g}" if total else ""
            writer.writerow([label, name, count, share, findings.samples_with[label]])


def write_problems(path: Path, findings: Findings) -> bool:
    """Write all problems, those of a kind together; without any, remove what an earlier look wrote.

    Returns:
        Whether there are problems, so that there is a file.

    Raises:
        OSError: the file cannot be written.
    """
    if not findings.problems:
        path.unlink(missing_ok=True)
        return False
    kinds = by_kind(text for _, text in findings.problems)
    with replacing(path) as scratch:
        text = "\n\n".join("\n".join(texts) for texts in kinds)
        scratch.write_text(f"{text}\n", encoding="utf-8")
    return True


def _samples(count: int) -> str:
    return f"{count:,} sample{'' if count == 1 else 's'}"


def _sizes(findings: Findings) -> str:
    known = {size: count for size, count in findings.sizes.items() if size is not None}
    unknown = findings.samples - sum(known.values())
    notes = [f"{unknown:,} cannot be read"] if unknown else []
    if len(known) == 1:
        width, height = next(iter(known))
        notes = [f"{width} x {height}", *notes]
    elif known:
        ordered = sorted(known, key=lambda size: (size[0] * size[1], size))
        extremes = ordered[0], _median(ordered, known.__getitem__), ordered[-1]
        names = ("smallest", "median", "largest")
        shown = (f"{name} {w} x {h}" for name, (w, h) in zip(names, extremes, strict=True))
        notes = [", ".join(shown), f"{len(known):,} distinct", *notes]
    return _folded(f"size (width x height): {'; '.join(notes)}")


def _folded(text: str) -> str:
    return fill(text, WIDTH, subsequent_indent="    ", break_long_words=False)


def _median(
    ordered: Sequence[tuple[int, int]], count_of: Callable[[tuple[int, int]], int]
) -> tuple[int, int]:
    left = (sum(map(count_of, ordered)) + 1) // 2
    for size in ordered:
        left -= count_of(size)
        if left <= 0:
            break
    return size


def _histogram(findings: Findings, classes: Sequence[str], label_unit: str) -> str:
    rows = [(label, count) for label, count in findings.labels.most_common()]
    if not rows:
        return f"no {label_unit} of any class"
    total = findings.labels.total()
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_footer=len(rows) > 1)
    table.add_column("class", "all classes", overflow="fold", max_width=WIDTH // 2)
    table.add_column(label_unit, f"{total:,}", justify="right")
    table.add_column("share", "100.0 %", justify="right")
    table.add_column("samples with it", f"{findings.labelled:,}", justify="right")
    left_out = len(rows) - 2 * _ROWS
    # Leaving out a handful would save nothing.
    if left_out > _ROWS:
        rows = [*rows[:_ROWS], None, *rows[-_ROWS:]]
    for row in rows:
        if row is None:
            table.add_row(f"({left_out:,} classes in between)", "", "", "")
            continue
        label, count = row
        share, samples = f"{100 * count / total:.1f} %", f"{findings.samples_with[label]:,}"
        table.add_row(Text(classes[label]), f"{count:,}", share, samples)
    console = Console(width=WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines() if line.strip())


def _ignored(findings: Findings, label_unit: str) -> str:
    if not findings.ignored:
        return ""
    share = findings.ignored / (findings.ignored + findings.labels.total())
    return f"{findings.ignored:,} {label_unit} ignored, {100 * share:.1f} % of all"


def _absent(findings: Findings, classes: Sequence[str]) -> str:
    names = [name for label, name in enumerate(classes) if not findings.labels[label]]
    if not names:
        return ""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    shown = ", ".join(names[:_NAMED])
    return _folded(f"{len(names):,} of {len(classes):,} classes without any sample: {shown}{more}")


def _problems(findings: Findings) -> str:
    if not findings.problems:
        return ""
    lines = ["problems:"]
    for texts in by_kind(text for _, text in findings.problems):
        lines.append("- once:" if len(texts) == 1 else f"- {len(texts):,} times:")
        lines += [f"    {text}" for text in texts[:_SHOWN]]
        if len(texts) > _SHOWN:
            lines.append(f"    and {len(texts) - _SHOWN:,} more")
    return "\n".join(lines)


def _verdict(findings: Findings, total: int) -> str:
    seen, troubled = findings.samples, len(findings.troubled)
    number = f"{seen:,}" if seen == total else f"{seen:,} looked-at"
    if troubled:
        return f"{troubled:,} of {number} samples have problems"
    return f"all {number} samples can be used"
