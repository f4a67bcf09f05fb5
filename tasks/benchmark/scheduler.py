"""Which run starts when, and what follows from how it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from .devices import Devices
from .record import (
    Attempt,
    State,
    is_complete,
    put_aside,
    read_metrics,
    read_record,
    state_of,
    why_outdated,
    write_record,
)
from .run import Run
from .training import MENDABLE, STOPPED, Training
from .weights import name_weights

Start = Callable[[Run, Sequence[str], Mapping[str, str]], Training]


class Status(Enum):
    """Where a run stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"


@dataclass(eq=False)
class Job:
    """A run on its way.

    Attributes:
        run: The run.
        status: Where it stands.
        note: Why it failed, was skipped or is done.
        attempts: All starts, those of earlier benchmarks included.
        failures: In this benchmark.
        training: While it runs.
    """

    run: Run
    status: Status = Status.WAITING
    note: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    failures: int = 0
    training: Training | None = None
    places: list[int] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """That all its attempts took."""
        return sum(attempt.seconds for attempt in self.attempts)


class Scheduler:
    """Starts runs as places get free, those first that others need, and tries again what failed.

    A run that is done is not started. One that was interrupted goes on from its last checkpoint.
    One that fails is tried again up to `retries` times, unless its exit code says that its user has
    to mend something. What needs a run that has failed is skipped. What started from other weights
    than those that it needs hold by now is put aside, and starts anew.

    Args:
        runs: Each after those that it needs.
        plan: Name of the plan, for the records.
        devices: Where they run.
        retries: Of a run that has failed.
        start: What starts a training.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        plan: str,
        devices: Devices,
        retries: int = 1,
        start: Start = Training,
    ) -> None:
        self._plan = plan
        self._devices = devices
        self._retries = retries
        self._start = start
        self._stopping = False
        self.jobs = [self._job(run) for run in runs]
        self._by_run = {id(job.run): job for job in self.jobs}

    def step(self) -> list[Job]:
        """Take note of what has ended, and start what can start.

        Returns:
            The jobs whose status has changed.
        """
        changed = [job for job in self.jobs if job.training is not None and self._reap(job)]
        if not self._stopping:
            changed += [job for job in self.jobs if job not in changed and self._begin(job)]
        return changed

    @property
    def busy(self) -> bool:
        """Whether anything runs or will."""
        return any(
            job.status is Status.RUNNING or (job.status is Status.WAITING and not self._stopping)
            for job in self.jobs
        )

    @property
    def running(self) -> bool:
        """Whether any process of a training is left."""
        return any(job.training is not None and job.training.poll() is None for job in self.jobs)

    def stop(self) -> None:
        """Start nothing more, and ask what runs to save and end."""
        self._stopping = True
        for job in self.jobs:
            if job.training is not None:
                job.training.stop()

    def kill(self) -> None:
        """End what runs at once."""
        self._stopping = True
        for job in self.jobs:
            if job.training is not None:
                job.training.kill()

    def _job(self, run: Run) -> Job:
        record = read_record(run.work_dir)
        job = Job(run, attempts=record.attempts if record else [])
        if state_of(run) is State.DONE:
            self._was_done(job)
        return job

    @staticmethod
    def _was_done(job: Job) -> None:
        name_weights(job.run.work_dir)
        job.status, job.note = Status.DONE, "was done before"

    def _begin(self, job: Job) -> bool:
        """Start a job, or skip it, if the time has come."""
        if job.status is not Status.WAITING:
            return False
        needs = [self._by_run[id(run)] for run in job.run.needs]
        for need in needs:
            if need.status in (Status.FAILED, Status.SKIPPED):
                job.status = Status.SKIPPED
                job.note = f"needs {need.run.title}, which {need.status.value}"
                return True
        if any(need.status is not Status.DONE for need in needs):
            return False
        places = self._devices.take(job.run.processes)
        if places is None:
            return False
        state = state_of(job.run)
        if state is State.DONE:  # what it needs has turned out as before
            self._devices.give_back(places)
            self._was_done(job)
            return True
        note = ""
        if state is State.OUTDATED:
            why, place = why_outdated(job.run), put_aside(job.run)
            note, job.attempts = f"anew: {why}; what it had done is in {place}", []
        write_record(job.run, self._plan, job.attempts)
        environment = self._devices.environment(places, job.run.processes)
        job.training = self._start(job.run, job.run.command, environment)
        job.places, job.status, job.note = places, Status.RUNNING, note
        return True

    def _reap(self, job: Job) -> bool:
        """Take note of how a job has ended, if it has."""
        assert job.training is not None
        attempt = job.training.poll()
        if attempt is None:
            return False
        job.training = None
        self._devices.give_back(job.places)
        job.attempts = [*job.attempts, attempt]
        write_record(job.run, self._plan, job.attempts)
        job.status, job.note = self._judge(job, attempt)
        return True

    def _judge(self, job: Job, attempt: Attempt) -> tuple[Status, str]:
        code = attempt.exit_code
        if is_complete(read_metrics(job.run.work_dir)):
            name_weights(job.run.work_dir)
            return Status.DONE, f"exit code {code} after its end" if code else ""
        why = f"exit code {code}" if code else "ended without metrics.json of its last iteration"
        if self._stopping:
            return Status.INTERRUPTED, "goes on from its last checkpoint"
        if attempt.exit_code == MENDABLE:
            return Status.FAILED, f"{why}: needs a fix on your side; see its output"
        job.failures += 1
        if job.failures > self._retries:
            return Status.FAILED, f"{why}, {job.failures} times"
        again = "was asked to end" if attempt.exit_code == STOPPED else why
        return Status.WAITING, f"{again}; tried again"
