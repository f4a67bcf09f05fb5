"""One split of the data, looked through and written about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from normlib.checkpoint.saving import replacing

from .contact_sheet import choose, contact_sheet, encode_png
from .report import report, write_labels, write_problems
from .sample import Examinable
from .scan import check_examinable, scan, spread


@dataclass(frozen=True)
class SplitCheck:
    """What a look through a split gave.

    Attributes:
        text: the report.
        files: what was written.
        usable: whether no sample that was looked at has a problem.
    """

    text: str
    files: tuple[Path, ...]
    usable: bool


def check_split(
    title: str,
    dataset: Examinable,
    stem: Path,
    limit: int | None = None,
    workers: int = 0,
    pictures: int = 9,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> SplitCheck:
    """Look through a split; write its contact sheet, its label histogram and its problems.

    Args:
        title: heads the report.
        dataset: the split.
        stem: path that `.png`, `_labels.csv` and `_problems.txt` are added to; folders are made.
        limit: look at this many evenly spread samples only.
        workers: processes that read; 0 for this one.
        pictures: samples on the contact sheet; 0 for none.
        progress: called with (samples looked at, samples in all).

    Raises:
        DatasetError: the data set cannot be looked through.
        OSError: a file cannot be written.
    """
    check_examinable(dataset)
    indices = spread(len(dataset), limit)
    findings = scan(dataset, indices, workers, progress)
    classes = dataset.metainfo["classes"]
    sheet, labels, problems = (
        stem.with_name(stem.name + suffix) for suffix in (".png", "_labels.csv", "_problems.txt")
    )
    files = [labels]
    write_labels(labels, findings, classes, dataset.label_unit)
    if chosen := choose(indices, findings.troubled, pictures):
        with replacing(sheet) as scratch:
            scratch.write_bytes(encode_png(contact_sheet(dataset, chosen)))
        files.append(sheet)
    if write_problems(problems, findings):
        files.append(problems)
    text = report(title, findings, len(dataset), classes, dataset.label_unit)
    return SplitCheck(text, tuple(files), usable=not findings.problems)
