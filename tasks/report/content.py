"""All that a report says, before it takes the form of a page or of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.report.finding import find_records
from tasks.report.naming import distinct, norm_rank
from tasks.report.paired import LEAST_PAIRS, LEVEL, RESAMPLES
from tasks.report.tables import TaskTables, task_tables
from tasks.task_metrics import TASK_METRICS

_PER_CENT = f"{LEVEL:.0%}".removesuffix("%")
HOW_TO_READ = (
    "Measured figures are means over seeds with the standard deviation of one seed (n − 1); a "
    "figure without ± is of one seed. All are in per cent. Times are the median of a run, averaged "
    "over seeds; memory is the largest peak of any seed. Where seeds ran on several kinds of "
    "hardware, there is a figure for each, in the order in which these are named.",
    "Published figures have columns of their own. One is shown only where the run is that row of "
    "the table: the same config and options, the same number of processes and samples and as many "
    "evaluated as the test set has, apart from paths, seeds, workers and logging; never beside "
    "generated data.",
    "Norms of one model are compared on the seeds that both have: runs of one seed share the order "
    f"of data, so that differences vary less than the figures themselves. The {_PER_CENT} % "
    f"interval of the mean difference is a percentile bootstrap of {RESAMPLES:,} resamples.",
    f"With fewer than {LEAST_PAIRS} pairs nothing is said of which norm is better: all n "
    "differences have one sign by chance with probability 2^(1 − n), which is above 5 % up to 5 "
    "pairs. An interval of few pairs is also too narrow, so that an exact test, which flips the "
    "signs of the differences in all ways, has to agree (p at most 0.05).",
    "A figure is bold only where its norm is better in this sense than every other norm of its "
    "model. There is no correction for the number of tables and metrics that are looked at.",
)


@dataclass(frozen=True)
class Content:
    """What a report says.

    Attributes:
        tasks: The tables of each task that has runs.
        skipped: A line for each work directory that is left out.
    """

    tasks: tuple[TaskTables, ...]
    skipped: tuple[str, ...]

    @property
    def norms(self) -> list[str]:
        """The norms of all runs, in the order of the papers."""
        return sorted({row.norm for task in self.tasks for row in task.rows}, key=norm_rank)

    @property
    def rows(self) -> int:
        """Number of lines in the tables of results."""
        return sum(len(task.results.lines) for task in self.tasks)

    @property
    def summary(self) -> str:
        """What was read, in a sentence."""
        records = [record for task in self.tasks for record in task.records]
        seeds = {record.seed for record in records if record.seed is not None}
        parts = (
            _count(len(records), "run"),
            _count(len(self.tasks), "task"),
            _count(len(self.norms), "norm"),
            _count(len(seeds), "seed"),
        )
        devices = ", ".join(distinct(record.device for record in records))
        return f"{' · '.join(parts)} · {devices}"

    @property
    def warnings(self) -> list[str]:
        """What a reader must know before any figure."""
        records = [record for task in self.tasks for record in task.records]
        made = [record for record in records if record.generated]
        partial = [record for record in records if not record.complete]
        found = []
        if made:
            found.append(
                f"Generated data: {len(made)} of {_count(len(records), 'run')}. Their figures show "
                "that a norm trains and what it costs, not how good it is on real data."
            )
        if partial:
            found.append(
                f"Incomplete: {len(partial)} of {_count(len(records), 'run')}. They are listed, "
                "but take no part in any comparison."
            )
        return found


def gather(folders: Sequence[Path]) -> Content:
    """Reads work directories and makes the tables of their tasks.

    Raises:
        ReportError: A folder does not exist, or there is no run to report on.
        MetafileError: The project's published figures cannot be read.
    """
    found = find_records(folders)
    tasks = []
    for task in TASK_METRICS:
        records = [record for record in found.records if record.task == task]
        if records:
            tasks.append(task_tables(task, records))
    return Content(tuple(tasks), tuple(found.skipped))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
