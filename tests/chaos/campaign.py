"""The whole fault test: trainings without faults, then the same with them, several at a time."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.chaos import checkpoints, toys
from tests.chaos.attempts import Timeline
from tests.chaos.disk import FileLimit, disk_for
from tests.chaos.plan import Planned, plan
from tests.chaos.processes import Programs
from tests.chaos.report import Record
from tests.chaos.training import Baseline, Subject, Training

# Trainings that may end before a fault comes.
_TRIES = 5


class BaselineError(RuntimeError):
    """A training without faults has failed: there is nothing to compare with."""


def run(
    tasks: Sequence[str], faults: int, seed: int, jobs: int, folder: Path, programs: Programs
) -> list[Record]:
    """Do all trainings.

    Args:
        tasks: Names of toy configs.
        faults: How many to inject.
        seed: What is drawn follows from it.
        jobs: Trainings at a time.
        folder: For data and runs; those of trainings that went well are removed.
        programs: For all that is started.

    Returns:
        What has come of each fault.

    Raises:
        BaselineError: A training without faults has failed.
    """
    planned = plan(tasks, faults, random.Random(seed))
    progress = _Progress(faults)
    pool = ThreadPoolExecutor(jobs)
    try:
        pairs = list(dict.fromkeys((one.task, one.ranks) for one in planned))
        data = {task: pool.submit(_generated, task, folder) for task, _ in pairs}
        subjects = {pair: _Prepared(*pair, data[pair[0]]) for pair in pairs}
        baselines = {
            pair: pool.submit(_baseline, subjects[pair], folder, programs) for pair in pairs
        }
        results = [
            pool.submit(
                _hit,
                one,
                subjects[one.task, one.ranks],
                baselines[one.task, one.ranks],
                folder / "runs" / f"{number:02}",
                programs,
                f"{seed}, {number}",
                progress,
            )
            for number, one in enumerate(planned)
        ]
        return [record for result in results for record in result.result()]
    finally:
        programs.close()
        pool.shutdown(cancel_futures=True)


class _Prepared:
    """A subject whose data are being made."""

    def __init__(self, task: str, ranks: int, data: Future[Path]) -> None:
        self.label = f"{task}-{ranks}"
        self._task, self._ranks, self._data = task, ranks, data

    def subject(self) -> Subject:
        """It, once the data are there."""
        return toys.subject(self._task, self._ranks, self._data.result())


class _Progress:
    """A line for each fault."""

    def __init__(self, faults: int) -> None:
        self._faults = faults
        self._done = 0
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def tell(self, record: Record) -> None:
        """Tell of a fault that is over."""
        with self._lock:
            self._done += 1
            seconds = time.monotonic() - self._began
            place = f"{seconds:5.0f} s  {self._done:>{len(str(self._faults))}}/{self._faults}"
            print(f"{place}  {record.task}: {record.kind}: {record.where}", flush=True)

    def complain(self, records: Iterable[Record]) -> None:
        """Tell what is wrong with a training that is over."""
        with self._lock:
            for record in records:
                for problem in record.problems:
                    print(f"    {record.task}: {record.kind}: {problem}", flush=True)


def _generated(task: str, folder: Path) -> Path:
    data = folder / "data" / task
    toys.generate(task, data)
    return data


def _baseline(prepared: _Prepared, folder: Path, programs: Programs) -> Baseline:
    place = folder / "baselines" / prepared.label
    work_dir = place / "work"
    attempt = prepared.subject().start(place / "start", work_dir, programs)
    code = attempt.end()
    final = checkpoints.named(work_dir)
    if code != 0 or final is None:
        raise BaselineError(
            f"{prepared.label} fails without any fault (exit code {code}), see {place}:\n"
            + attempt.messages[-2000:]
        )
    for path in work_dir.glob("*.pth"):
        if path != final:
            path.unlink()
    return Baseline(final, Timeline.of(attempt.began, attempt.control.events(), time.monotonic()))


def _hit(
    planned: Planned,
    prepared: _Prepared,
    baseline: Future[Baseline],
    folder: Path,
    programs: Programs,
    seed: str,
    progress: _Progress,
) -> list[Record]:
    """Train until all faults have come, and where a training ends too early, again."""
    left, records = list(planned.kinds), []
    subject = prepared.subject()
    for again in range(_TRIES):
        place = folder.with_name(f"{folder.name}_{planned.task}_{again}")
        whole = baseline.result()
        full = any(kind.fills_disk for kind in left)
        size = whole.final.stat().st_size
        disk = disk_for(place / "disk", size) if full else FileLimit()
        try:
            training = Training(
                subject,
                whole,
                place,
                programs,
                disk,
                random.Random(f"{seed}, {again}"),
                progress.tell,
            )
            hit = training.run(left)
            if programs.closed:
                return []
            failed = any(record.problems for record in training.records)
            if failed and full:
                shutil.copytree(place / "disk", place / "kept", dirs_exist_ok=True)
        finally:
            disk.close()
        if not failed:
            shutil.rmtree(place, ignore_errors=True)
        progress.complain(training.records)
        records += training.records
        left = left[hit:]
        if not left:
            return records
    troubles = [f"{_TRIES} trainings ended before it came"]
    return records + [
        Record(subject.name, kind.name, "", folder, number=0, troubles=troubles) for kind in left
    ]
