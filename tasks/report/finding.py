"""Work directories below folders, sorted into those that can be read and those that cannot."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.report.errors import ReportError
from tasks.report.evaluated import samples_evaluated, with_own_data
from tasks.report.records import (
    BENCHMARK,
    METRICS,
    Record,
    Unreadable,
    printable,
    read_record,
)

_STARTED = re.compile(r"\d{8}_\d{6}")
_TEST = "test"  # below the work directory of the training whose checkpoint was tested
_AUGMENTED = "tta/"


@dataclass(frozen=True)
class Found:
    """What lies below the folders.

    Attributes:
        records: Of runs, one each.
        skipped: A line for each work directory that is left out, which says why.
    """

    records: list[Record]
    skipped: list[str]


def find_records(folders: Sequence[Path]) -> Found:
    """Reads all work directories below folders.

    Raises:
        ReportError: A folder does not exist, or none of them holds a run that can be read.
        MetafileError: The project's metafile cannot be read.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ReportError(f"{folder} is not a folder; name work directories or one above them")
    roots = [folder.resolve() for folder in folders]
    top = os.path.commonpath(roots)
    records: dict[Path, Record] = {}
    skipped = []
    for folder in sorted({found for root in roots for found in _work_dirs(root)}):
        where = os.path.relpath(folder, top)
        where = folder.name if where == "." else where
        try:
            records[folder] = read_record(folder, where)
        except Unreadable as error:
            skipped.append(printable(f"{where}: {error}"))
    if not records:
        why = "".join(f"\n  {line}" for line in skipped) or f" (no {METRICS} below it)"
        raise ReportError(f"no run to report on in {', '.join(map(str, folders))}{why}")
    kept = with_own_data(_without_tests(records))
    kept, doubled = _without_doubles(kept)
    return Found(kept, skipped + doubled)


def _work_dirs(root: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(root):
        starts = [name for name in below if _STARTED.fullmatch(name)]
        below[:] = sorted(name for name in below if name not in starts)
        if {METRICS, BENCHMARK, "last_checkpoint"} & set(files) or starts:
            yield Path(folder)


def _without_tests(records: dict[Path, Record]) -> list[Record]:
    """Leave out evaluations beside their training, which takes the augmented figures over.

    It does so only where the figures without augmentation agree, hence the checkpoint.
    """
    kept = []
    for folder, record in records.items():
        trained = records.get(folder.parent) if folder.name == _TEST else None
        if trained is not None and trained.iterations is not None and record.iterations is None:
            continue
        test = records.get(folder / _TEST)
        if record.iterations is not None and test is not None and _agree(record, test):
            augmented = {k: v for k, v in test.metrics.items() if k.startswith(_AUGMENTED)}
            record = replace(record, metrics=record.metrics | augmented)
        kept.append(record)
    return kept


def _agree(training: Record, test: Record) -> bool:
    names = training.metrics.keys() & test.metrics.keys()
    return bool(names) and all(training.metrics[name] == test.metrics[name] for name in names)


def _without_doubles(records: list[Record]) -> tuple[list[Record], list[str]]:
    """Of runs that differ in nothing but their folder, keep a complete one, else the newest."""

    def preference(record: Record) -> tuple[bool, float]:
        return record.complete, (record.folder / METRICS).stat().st_mtime

    settings = [_identity(record) for record in records]
    identities = list(zip(settings, samples_evaluated(records, settings), strict=True))
    chosen: dict[Hashable, Record] = {}
    for record, identity in zip(records, identities, strict=True):
        known = chosen.get(identity)
        if known is None or preference(record) > preference(known):
            chosen[identity] = record
    kept, lines = [], []
    for record, identity in zip(records, identities, strict=True):
        if chosen[identity] is record:
            kept.append(record)
        else:
            lines.append(f"{record.where}: the same run as {chosen[identity].where}, which counts")
    return kept, lines


def _identity(record: Record) -> Hashable:
    if record.stands_alone:
        return record.folder
    return (
        *(record.config, record.norm, record.changes, record.seed, record.ranks),
        *(record.batch_size, record.generated, record.model),
    )
