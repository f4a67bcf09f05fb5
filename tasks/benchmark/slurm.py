"""Runs of a benchmark as job arrays of Slurm, through submitit."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError
from submitit.helpers import DelayedSubmission

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
from .training import MENDABLE, Training
from .weights import name_weights

_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class SlurmOptions:
    """What Slurm is asked for.

    Attributes:
        partition: Where jobs run.
        minutes: Time limit of a job; one that reaches it saves, and is queued again.
        cpus_per_gpu: CPU cores for each GPU.
        parallel: Jobs of an array at a time.
        signal_seconds: Between the signal to save and the time limit.
        setup: Shell lines before a job, such as `module load cuda`.
        extra: Further options of sbatch, such as `{'account': 'vision'}`.
    """

    partition: str
    minutes: int = 24 * 60
    cpus_per_gpu: int = 8
    parallel: int = 256
    signal_seconds: int = 300
    setup: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Submitted:
    """A job array: its Slurm job and the runs of its tasks, in their order."""

    array: str
    runs: tuple[Run, ...]


class RunJob:
    """A run as Slurm executes it: tried again up to some times, saved and queued again in time.

    Args:
        run: The run.
        plan: Name of the plan.
        retries: Of a failure.
    """

    def __init__(self, run: Run, plan: str, retries: int) -> None:
        self.run = run
        self.plan = plan
        self.retries = retries
        self._training: Training | None = None

    def __call__(self) -> str:
        """Do the run.

        Returns:
            Its title.

        Raises:
            RuntimeError: It failed, its output is named; or a run that it needs has not been done.
        """
        for need in self.run.needs:
            if state_of(need) is not State.DONE:
                raise RuntimeError(f"{self.run.title} needs {need.title}, which is not done")
        if (why := why_outdated(self.run)) is not None:
            place = put_aside(self.run)
            print(f"{self.run.title} starts anew: {why}; what it had done is in {place}")
        failures = 0
        while True:
            code = 0 if state_of(self.run) is State.DONE else self._attempt()
            if is_complete(read_metrics(self.run.work_dir)):
                name_weights(self.run.work_dir)
                return self.run.title
            failures += 1
            if code == MENDABLE or failures > self.retries:
                raise RuntimeError(
                    f"{self.run.title}: exit code {code}; see {self.run.work_dir / 'output.txt'}"
                )

    def checkpoint(self) -> DelayedSubmission:
        """Save, since Slurm is about to end the job, and be queued again."""
        training, self._training = self._training, None
        if training is not None:
            training.stop()
            self._note(self._wait(training))
        return DelayedSubmission(RunJob(self.run, self.plan, self.retries))

    def _attempt(self) -> int:
        self._note()
        self._training = Training(self.run, self.run.command, {})
        attempt = self._wait(self._training)
        self._training = None
        self._note(attempt)
        return attempt.exit_code

    def _note(self, *attempts: Attempt) -> None:
        """Add to the record of the run."""
        record = read_record(self.run.work_dir)
        before = record.attempts if record else []
        write_record(self.run, self.plan, [*before, *attempts])

    @staticmethod
    def _wait(training: Training) -> Attempt:
        while (attempt := training.poll()) is None:
            time.sleep(_LOOK_SECONDS)
        return attempt


def submit(
    runs: Sequence[Run], plan: str, folder: Path, options: SlurmOptions, retries: int = 1
) -> list[Submitted]:
    """Submit all runs that are not done.

    Runs that take as many GPUs, and need nothing or runs of one level below, are one array. An
    array starts when those that its runs need have ended; what then lacks its weights says so.

    Args:
        runs: Each after those that it needs.
        plan: Name of the plan.
        folder: For what submitit hands to Slurm, which is pickled: keep it from others.
        options: What Slurm is asked for.
        retries: Of a run that has failed.

    Returns:
        The arrays.

    Raises:
        RuntimeError: There is no Slurm here, or it refuses.
    """
    _refuse_to_repeat(_job_name(plan, folder))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    waves: dict[tuple[int, int], list[Run]] = {}
    for run in runs:
        if state_of(run) is not State.DONE:
            waves.setdefault((_level(run), run.processes), []).append(run)
    array_of: dict[int, str] = {}
    submitted = []
    for (_, processes), wave in sorted(waves.items()):
        needed = {array_of[id(n)] for run in wave for n in run.needs if id(n) in array_of}
        try:
            executor = _executor(folder, plan, processes, options, sorted(needed))
            with executor.batch():
                jobs = [executor.submit(RunJob(run, plan, retries)) for run in wave]
        except (FailedJobError, FailedSubmissionError, OSError, RuntimeError) as error:
            raise RuntimeError(f"Slurm does not take the runs: {error}") from error
        array = str(jobs[0].job_id).split("_")[0]
        array_of |= {id(run): array for run in wave}
        submitted.append(Submitted(array, tuple(wave)))
    return submitted


def _level(run: Run) -> int:
    """How many runs one after the other it waits for; those that are done do not count."""
    waits = [_level(need) + 1 for need in run.needs if state_of(need) is not State.DONE]
    return max(waits, default=0)


def _executor(
    folder: Path, plan: str, processes: int, options: SlurmOptions, needed: Sequence[str]
) -> submitit.SlurmExecutor:
    extra = dict(options.extra)
    if needed:
        own = [str(extra["dependency"])] if "dependency" in extra else []
        extra["dependency"] = ",".join([*own, f"afterany:{':'.join(needed)}"])
    executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=100)
    executor.update_parameters(
        job_name=_job_name(plan, folder),
        partition=options.partition,
        time=options.minutes,
        nodes=1,
        ntasks_per_node=1,
        gpus_per_node=processes,
        cpus_per_task=processes * options.cpus_per_gpu,
        array_parallelism=options.parallel,
        signal_delay_s=options.signal_seconds,
        setup=list(options.setup) or None,
        additional_parameters=extra,
    )
    return executor


def _job_name(plan: str, folder: Path) -> str:
    """One name for the jobs of a plan and a folder."""
    return f"benchmark-{plan}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def _refuse_to_repeat(name: str) -> None:
    """Two jobs must not write to one work directory."""
    try:
        command = ["squeue", "--noheader", "--me", "--name", name, "--format", "%i"]
        queued = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return
    if queued:
        raise RuntimeError(
            f"jobs of this plan are queued or run: {', '.join(queued)}; wait for them, or end them "
            f"with scancel --name {name}"
        )
