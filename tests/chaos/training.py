"""One training, from the first start to the end, and the faults that hit it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import checkpoints
from tests.chaos.attempts import Attempt, Missed, Moment, Timeline
from tests.chaos.control import VARIABLE
from tests.chaos.disk import Disk
from tests.chaos.kinds import Aftermath, Kind
from tests.chaos.processes import Programs
from tests.chaos.report import Record

_NOTICED = "cut short|damaged|is empty|begins with zeros|cannot be read"


@dataclass(frozen=True)
class Subject:
    """What is trained.

    Attributes:
        name: In tables.
        command: Tells how to start it, given the work directory, whether to resume, and the
            number of dataloader workers.
        environ: Its environment.
    """

    name: str
    command: Callable[[Path, bool, int], list[str]]
    environ: Mapping[str, str]

    def start(
        self,
        folder: Path,
        work_dir: Path,
        programs: Programs,
        resume: bool = False,
        workers: int = 0,
        spoiled: Path | None = None,
    ) -> Attempt:
        """Start it.

        Args:
            folder: For what this start writes and tells.
            work_dir: Of the training.
            programs: That it is one of.
            resume: Whether it goes on.
            workers: Of the dataloader.
            spoiled: A checkpoint that is damaged.
        """
        environ = {**self.environ, VARIABLE: str(folder)}
        command = self.command(work_dir, resume, workers)
        return Attempt(command, environ, work_dir, folder, programs, workers, spoiled)


@dataclass(frozen=True)
class Baseline:
    """A training that nothing has disturbed.

    Attributes:
        final: Its last checkpoint.
        timeline: What took how long.
    """

    final: Path
    timeline: Timeline


class Training:
    """A training and what has happened to it.

    Args:
        subject: What is trained.
        baseline: The same without faults.
        folder: For all that belongs to it.
        programs: That its processes are among.
        disk: On which the work directory lies, ``folder / "disk"``.
        rng: Moments and places are drawn from it.
        tell: Called with a record once its fault is over.

    Attributes:
        expected: Iterations that the next start has to begin with, at least.
        attempt: The last start.
        records: Of all faults so far.
    """

    attempt: Attempt

    def __init__(
        self,
        subject: Subject,
        baseline: Baseline,
        folder: Path,
        programs: Programs,
        disk: Disk,
        rng: random.Random,
        tell: Callable[[Record], None] = lambda record: None,
    ) -> None:
        self.subject = subject
        self.timeline = baseline.timeline
        self.disk = disk
        self.rng = rng
        self.work_dir = folder / "disk" / "work"
        self.expected = 0
        self.checkpoint_size = baseline.final.stat().st_size
        self.records: list[Record] = []
        self._baseline = baseline
        self._folder = folder
        self._programs = programs
        self._tell = tell
        self._starts = 0
        # A checkpoint that was damaged, and when; and one that is still to be noticed.
        self._spoiled: tuple[Path, int] | None = None
        self._unnoticed: Path | None = None

    def run(self, kinds: Sequence[Kind]) -> int:
        """Train to the end, hit by faults one after the other.

        Args:
            kinds: The faults.

        Returns:
            How many of them have hit it before it was done.
        """
        needs = [kind.workers for kind in kinds]
        self._start(int(needs[0]))
        for done, kind in enumerate(kinds):
            try:
                aftermath = kind.inject(self)
            except Missed:
                break
            self._look_back()
            self._note(kind, aftermath)
            if not aftermath.goes_on:
                self._look_at_files(aftermath)
                following = any(needs[done + 1 : done + 2])
                self._start(max(aftermath.workers, int(following)))
                self._outlive_refusal(aftermath)
            self._tell(self.records[-1])
        hit = len(self.records)
        self._finish()
        return hit

    def moment(
        self,
        startup: float = 0.0,
        first: int = 0,
        last: int | None = None,
        to_the_end: bool = True,
    ) -> Moment:
        """Draw a moment of what is left of the training.

        Args:
            startup: Share of moments that are before the first iteration.
            first: The iterations that are to be done by then.
            last: The last iteration, counted from 0; else that of the training.
            to_the_end: Whether a moment after the last iteration will do.

        Raises:
            Missed: Nothing is left.
        """
        if self.rng.random() < startup:
            return Moment(None, self.rng.uniform(0, self.timeline.startup))
        last = self.timeline.count - 1 if last is None else last
        first = max(first, self.expected)
        if first > last:
            raise Missed
        number = self.rng.randint(first, last)
        within, between = self.timeline.iterations[number], self.timeline.between[number]
        if number == self.timeline.count - 1 and not to_the_end:
            within, between = 0.8 * within, 0.0
        seconds = self.rng.uniform(0, within + between)
        if seconds < within:
            return Moment(number, seconds)
        return Moment(number, seconds - within, after=True)

    def _start(self, workers: int) -> None:
        if self.records:
            self.records[-1].restarts += 1
        folder = self._folder / f"start_{self._starts}"
        resume = self._starts > 0
        self._starts += 1
        self.attempt = self.subject.start(
            folder, self.work_dir, self._programs, resume, workers, self._still_spoiled()
        )

    def _look_back(self) -> None:
        """Judge where the last start has begun, if it has come so far."""
        starts = self.attempt.starts
        if not starts:
            return
        # Where a launcher has started it again, the fault has judged that.
        began = starts[0].number
        if began < self.expected and len(starts) == 1:
            self._loss(f"{self.expected} iterations were saved, the next start began with {began}")
        if self._unnoticed is not None:
            name = re.escape(self._unnoticed.name)
            if not re.search(rf"{name}.*({_NOTICED})", self.attempt.output):
                self._trouble(f"the log does not say that {self._unnoticed.name} is damaged")
            self._unnoticed = None

    def _look_at_files(self, aftermath: Aftermath) -> None:
        """Judge what is left in the work directory, and expect the next start to begin there."""
        if aftermath.spoiled is not None:
            path = aftermath.spoiled
            self._spoiled = path, path.stat().st_mtime_ns
            self._unnoticed = path if aftermath.must_notice else None
            self.expected = checkpoints.newest(self.work_dir, without=path)
            return
        promised = max(self.expected, self.attempt.reported, aftermath.promised)
        named, problem = checkpoints.named(self.work_dir), "last_checkpoint names none"
        spoiled = self._still_spoiled()
        if named is not None and named != spoiled:
            problem = checkpoints.trouble(named) or f"last_checkpoint names {named.name}"
        good = named is not None and named != spoiled and checkpoints.trouble(named) is None
        if good and named is not None:
            self.expected = checkpoints.iteration(named)
        else:
            self.expected = checkpoints.newest(self.work_dir, without=spoiled)
        if self.expected < promised:
            self._loss(f"{promised} iterations were saved, {self.expected} are there: {problem}")

    def _still_spoiled(self) -> Path | None:
        """The damaged checkpoint, unless another has taken its place."""
        if self._spoiled is None:
            return None
        path, time = self._spoiled
        return path if path.is_file() and path.stat().st_mtime_ns == time else None

    def _outlive_refusal(self, aftermath: Aftermath) -> None:
        """Where the only checkpoint is damaged, a start says so and leaves it to the user."""
        path = aftermath.spoiled
        if path is None or self.expected > 0:
            return
        if self.attempt.watch(lambda: self.attempt.starts):
            return
        code = self.attempt.end()
        if code != 2 or path.name not in self.attempt.messages:
            self._trouble(f"exit code {code} of a start whose only checkpoint is damaged")
        path.unlink(missing_ok=True)
        self._unnoticed = None
        self.records[-1].where += ", the only one: exit 2, removed"
        self._start(self.attempt.workers)

    def _finish(self) -> None:
        """Let the training end, and compare."""
        code = self.attempt.end()
        self._look_back()
        if code != 0:
            last = self.attempt.messages.strip().rpartition("\n")[2]
            self._trouble(f"exit code {code} of a start that nothing has hit: {last}")
        final = self.work_dir / self._baseline.final.name
        problem = checkpoints.trouble(final)
        if problem is not None:
            self._trouble(f"at the end, {problem}")
            return
        differing = checkpoints.differences(self._baseline.final, final)
        if differing:
            few = ", ".join(differing[:3])
            kinds = ", ".join(record.kind for record in self.records)
            self._last_record().divergences.append(
                f"{len(differing)} values differ after {kinds}, such as {few}"
            )

    def _note(self, kind: Kind, aftermath: Aftermath) -> None:
        record = Record(self.subject.name, kind.name, aftermath.where, self._folder)
        record.losses += aftermath.losses
        record.troubles += aftermath.troubles
        record.restarts += aftermath.goes_on
        self.records.append(record)

    def _loss(self, text: str) -> None:
        self._last_record().losses.append(text)

    def _trouble(self, text: str) -> None:
        self._last_record().troubles.append(text)

    def _last_record(self) -> Record:
        if not self.records:
            self.records.append(Record(self.subject.name, "none", "", self._folder, number=0))
        return self.records[-1]
