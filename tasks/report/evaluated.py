"""What runs evaluated: the data of the published tables or data of their own, and how many."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

from tasks.report.naming import data_folders
from tasks.report.published import evaluates_published_data
from tasks.report.records import Record


def with_own_data(records: Sequence[Record]) -> list[Record]:
    """The runs, with the folders of data of their own among what sets them apart.

    One that has evaluated nothing is judged by the others of its config and folders.

    Raises:
        MetafileError: The project's metafile cannot be read.
    """

    def reads(record: Record) -> Hashable:
        return record.task, record.config, data_folders(record.options)

    published = {reads(record) for record in records if evaluates_published_data(record)}
    return [
        replace(record, own_data=data_folders(record.options))
        if not record.generated and reads(record) not in published
        else record
        for record in records
    ]


def samples_evaluated(records: Sequence[Record], settings: Sequence[Hashable]) -> list[int | None]:
    """How many samples each run evaluated.

    Args:
        records: The runs.
        settings: What else sets each apart. A run that has evaluated nothing has the number of the
            others of its setting, where these agree.
    """
    known: dict[Hashable, set[int]] = {}
    for record, setting in zip(records, settings, strict=True):
        if record.evaluated is not None:
            known.setdefault(setting, set()).add(record.evaluated)
    found = []
    for record, setting in zip(records, settings, strict=True):
        agreed = known.get(setting, set())
        only = next(iter(agreed)) if len(agreed) == 1 else None
        found.append(only if record.evaluated is None else record.evaluated)
    return found
