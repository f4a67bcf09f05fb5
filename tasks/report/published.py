"""Whether a run is a row of its task's published table, and what keeps it from being one."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from tasks.report.naming import ROOT, changes, is_weights
from tasks.report.records import Record
from tasks.results import Collection, Metafile, Model, read_metafile
from tasks.task_metrics import SAMPLES

_BATCH = re.compile(r"_(\d+)xb(\d+)")


@dataclass(frozen=True)
class Standing:
    """Where a run stands to the published tables.

    Attributes:
        row: The row that it is, if that has published figures.
        reason: Why there is none.
        notes: Places where the sources of the row disagree.
    """

    row: Model | None
    reason: str = ""
    notes: tuple[str, ...] = ()


def standing(record: Record) -> Standing:
    """Compares a run with the rows of its task's metafile that have its config.

    Raises:
        MetafileError: The project's metafile cannot be read.
    """
    metafile = _metafile(ROOT / "tasks" / record.task / "metafile.yml")
    rows = [model for model in metafile.models if model.config == record.config]
    if not rows:
        return Standing(None, "its config is in no published table")
    collections = {collection.name: collection for collection in metafile.collections}
    compared = [(_departures(record, row, collections[row.collection]), row) for row in rows]
    if record.row is not None and any(row.name == record.row for row in rows):
        compared = [(departures, row) for departures, row in compared if row.name == record.row]
    departures, row = min(compared, key=lambda pair: len(pair[0]))
    if departures:
        return Standing(None, f"differs from the row {row.name}: {'; '.join(departures)}")
    if row.published is None:
        return Standing(None, f"the row {row.name} has no published figure")
    notes = [f"{key}: {metafile.discrepancies[key]}" for key in row.published.discrepancies]
    return Standing(row, notes=tuple(notes))


def evaluates_published_data(record: Record) -> bool:
    """Whether a run evaluated as many samples as the test set of a row of its config has.

    Raises:
        MetafileError: The project's metafile cannot be read.
    """
    metafile = _metafile(ROOT / "tasks" / record.task / "metafile.yml")
    tables = {model.collection for model in metafile.models if model.config == record.config}
    return record.evaluated is not None and any(
        _counts(record.evaluated, collection.test_samples)
        for collection in metafile.collections
        if collection.name in tables and collection.test_samples is not None
    )


def _counts(evaluated: int, test_samples: tuple[int, int]) -> bool:
    fewest, most = test_samples
    return fewest <= evaluated <= most


@functools.cache
def _metafile(path: Path) -> Metafile:
    return read_metafile(path)


def _departures(record: Record, row: Model, collection: Collection) -> list[str]:
    """In what a run is not the row, in words."""
    found = []
    if record.generated:
        found.append("generated data")
    if not record.complete:
        found.append(record.state)
    trained = record.iterations is not None
    if trained and row.evaluation_only:
        found.append("trained; the row is an evaluation of released weights")
    samples = collection.test_samples
    if record.evaluated is not None and samples and not _counts(record.evaluated, samples):
        planned_samples = " to ".join(f"{end:,}" for end in dict.fromkeys(samples))
        kind = SAMPLES[record.task]
        found.append(f"{record.evaluated:,} {kind} evaluated instead of {planned_samples}")
    own, of_row = set(changes(record.options)), set(changes(row.options.split()))
    if record.batch_setting is not None:
        own.add(f"batch_setting={record.batch_setting}")
    if record.row == row.name:
        # The benchmark names the files of its own runs in place of those that the row goes on from.
        own, of_row = ({o for o in options if not is_weights(o)} for options in (own, of_row))
    # Naming the norm that the row has anyway changes nothing.
    norms = {str(value) for key, value in row.metadata.items() if key.endswith("Norm")}
    if len(norms) == 1:
        own -= {f"norm_cfg.type={norms.pop()}"} - of_row
    found += sorted(own - of_row) + [f"without {option}" for option in sorted(of_row - own)]
    match = _BATCH.search(row.name)
    if match and trained and record.batch_size is not None:
        planned, run = (int(match[1]), int(match[2])), (record.ranks, record.batch_size)
        if run != planned:
            found.append(f"{run[0]} × {run[1]} samples instead of {planned[0]} × {planned[1]}")
    return found
