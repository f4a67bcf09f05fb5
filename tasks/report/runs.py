"""Runs put together: those of a row differ in their seed alone, those of a group in their norm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from tasks.report.evaluated import samples_evaluated
from tasks.report.naming import family, norm_rank
from tasks.report.records import Record
from tasks.task_metrics import SAMPLES, TaskMetric

# Options that say how a norm starts or is built; they differ with the norm.
_OF_NORM = ("norm_cfg.", "load_from=")
_OF_WEIGHTS = ".init_cfg."


@dataclass(frozen=True, eq=False)
class Row:
    """Runs that differ in their seed alone.

    Attributes:
        records: The runs.
        common: Options that the rows of all groups have.
    """

    records: tuple[Record, ...]
    common: tuple[str, ...]

    @property
    def first(self) -> Record:
        """The run that stands for the others: they share task, config, norm and options."""
        return self.records[0]

    @property
    def norm(self) -> str:
        """Label of the norm."""
        return self.first.norm

    @property
    def description(self) -> str:
        """The config's name with the options that change the training, or the run that it is."""
        return _describe(self.first, self.common)

    def by_seed(self, metric: TaskMetric) -> dict[int, float]:
        """The figures of the runs that have one, by seed."""
        found = {}
        for record in self.records:
            value = metric.value(record.metrics)
            if value is not None and record.seed is not None:
                found[record.seed] = value
        return found

    def values(self, metric: TaskMetric) -> list[float]:
        """The figures of the runs that have one."""
        found = [metric.value(record.metrics) for record in self.records]
        return [value for value in found if value is not None]


@dataclass(frozen=True)
class Group:
    """Rows of one model in one setting: what is compared between norms.

    Attributes:
        model: Title.
        setting: What sets it apart from other groups of the model, in words; may be empty.
        rows: In the order of the norms.
    """

    model: str
    setting: str
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        """The model and its setting."""
        return f"{self.model}, {self.setting}" if self.setting else self.model

    @property
    def comparable(self) -> dict[str, Row]:
        """The finished rows of seeds by label, with the config where norms alone would clash."""
        rows = [row for row in self.rows if row.first.complete and not row.first.stands_alone]
        norms = [row.norm for row in rows]
        return {
            row.norm if norms.count(row.norm) == 1 else f"{row.norm}, {row.description}": row
            for row in rows
        }


def common_options(records: Sequence[Record]) -> tuple[str, ...]:
    """The options that change the training of all runs alike, apart from those of their norms."""
    first, *others = (_shared_changes(record) for record in records)
    return tuple(option for option in first if all(option in options for options in others))


def group_runs(records: Sequence[Record], common: tuple[str, ...]) -> list[Group]:
    """The groups of one task, by model and setting.

    Args:
        records: Its runs.
        common: Options that all of them have, which tell no group and no row from another.
    """
    settings = [_setting(record) for record in records]
    evaluated = samples_evaluated(records, settings)
    rows: dict[tuple[Hashable, ...], list[Record]] = {}
    for record, setting, samples in zip(records, settings, evaluated, strict=True):
        key = (
            (setting, samples),
            *(record.norm, record.config, record.changes, record.state),
            record.folder if record.stands_alone else None,
        )
        rows.setdefault(key, []).append(record)
    groups: dict[Hashable, list[Row]] = {}
    for (setting, *_), members in rows.items():
        ordered = sorted(members, key=lambda r: (r.seed is None, r.seed or 0, r.where))
        groups.setdefault(setting, []).append(Row(tuple(ordered), common))
    found = [
        Group(_title(rows), _words(rows[0].first, common), tuple(sorted(rows, key=_row_rank)))
        for rows in groups.values()
    ]
    names = Counter(group.name for group in found)
    found = [_with_samples(group) if names[group.name] > 1 else group for group in found]
    return sorted(found, key=lambda group: (group.model, group.setting))


def _describe(record: Record, common: Sequence[str]) -> str:
    stem = (record.config or "no config").rpartition("/")[2].removesuffix(".py")
    told, words = f"norm_cfg.type={record.norm}", [stem]
    for option in record.changes:
        if option in common:
            continue
        key, _, value = option.partition("=")
        if _OF_WEIGHTS not in key:
            words += [option] if option != told else []
        elif key.endswith(".checkpoint"):
            words.append(f"from {value}")
    if record.stands_alone:
        words.append(f"in {record.where}")
    return " ".join(words)


def _setting(record: Record) -> Hashable:
    return (
        family(record.config) if record.config else record.model,
        *(record.ranks, record.batch_size, record.batch_setting),
        *(record.generated, record.max_iterations),
        _shared_changes(record),
        record.iterations is None,
    )


def _shared_changes(record: Record) -> tuple[str, ...]:
    """The changes that do not belong to the norm."""
    return tuple(
        option
        for option in record.changes
        if not option.startswith(_OF_NORM) and _OF_WEIGHTS not in option.partition("=")[0]
    )


def _title(rows: Sequence[Row]) -> str:
    named = [record.model for row in rows for record in row.records if record.model]
    return named[0] if named else family(rows[0].first.config or "")


def _words(record: Record, common: Sequence[str]) -> str:
    words = [f"{record.ranks} × {record.batch_size}"] if record.batch_size is not None else []
    told = [option for option in _shared_changes(record) if option not in common]
    words += [option for option in told if not option.startswith("batch_")]
    words += ["evaluation only"] if record.iterations is None else []
    return ", ".join(words)


def _with_samples(group: Group) -> Group:
    """The group with the number of samples in its name."""
    records = [record for row in group.rows for record in row.records]
    evaluated = max(record.evaluated or 0 for record in records)
    words = f"{evaluated:,}" if evaluated else "no"
    words += f" {SAMPLES[records[0].task]} evaluated"
    return replace(group, setting=f"{group.setting}, {words}" if group.setting else words)


def _row_rank(row: Row) -> tuple[object, ...]:
    return (norm_rank(row.norm), not row.first.complete, row.description, row.first.state)
