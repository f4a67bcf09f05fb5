"""Runs of a benchmark as job arrays of Slurm, through submitit."""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import submitit
from submitit.helpers import DelayedSubmission

from .arrays import Array, Refusal, hand_over
from .held_signals import held_signals
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
from .slurm_options import SlurmOptions
from .training import MENDABLE, OUTPUT, Training
from .weights import name_weights

_LOOK_SECONDS = 1.0
# SUBMITIT_PREEMPT_SIGNAL says which of the first two.
_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)


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
            name_weights(need.work_dir)  # which its own job may not have come to
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
                    f"{self.run.title}: exit code {code}; see {self.run.work_dir / OUTPUT}"
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
        with held_signals(*_SIGNALS):  # one before the assignment would find nothing to stop
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
) -> Iterator[Array]:
    """Submit all runs that are not done.

    An array starts when those that its runs need have ended; what then lacks its weights says so.

    Args:
        runs: Each after those that it needs.
        plan: Name of the plan.
        folder: For what submitit hands to Slurm, which is pickled: made one for its owner alone.
        options: What Slurm is asked for.
        retries: Of a run that has failed.

    Yields:
        The arrays, each as soon as Slurm has it.

    Raises:
        RuntimeError: There is no Slurm here; jobs of the plan are queued; or, once all others are
            submitted, some runs were refused.
        OSError: The folder is another user's, or cannot be made.
    """
    if submitit.SlurmExecutor.affinity() < 0:
        raise RuntimeError("Slurm does not take the runs: there is no srun here")
    _refuse_to_repeat(_job_name(plan, folder))
    _make_private(folder)

    def take(array: Sequence[Run], after: Sequence[str]) -> str:
        for run in array:
            if not options.fits(run) and read_record(run.work_dir) is None:
                write_record(run, plan, [])  # what is then done by hand counts
        _refuse_several_nodes(array, options)
        executor = _executor(folder, plan, array[0].processes, options, after)
        with executor.batch():
            jobs = [executor.submit(RunJob(run, plan, retries)) for run in array]
        return str(jobs[0].job_id).split("_")[0]

    refusals = []
    for outcome in hand_over(runs, take):
        if isinstance(outcome, Array):
            yield outcome
        else:
            refusals.append(outcome)
    if refusals:
        raise RuntimeError(_in_words(refusals))


def foresee(runs: Sequence[Run], options: SlurmOptions) -> list[str]:
    """What `submit` would do, a line for each array, and what it would refuse."""
    numbers = itertools.count(1)

    def take(array: Sequence[Run], after: Sequence[str]) -> str:
        _refuse_several_nodes(array, options)
        return str(next(numbers))

    outcomes = list(hand_over(runs, take))
    refusals = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    lines = [str(outcome) for outcome in outcomes if isinstance(outcome, Array)]
    return [*lines, _in_words(refusals)] if refusals else lines


def _in_words(refusals: Sequence[Refusal]) -> str:
    count = sum(len(refusal.runs) for refusal in refusals)
    lines = "".join(f"\n- {refusal}" for refusal in refusals)
    return (
        f"runs that are not submitted: {count}{lines}\n"
        "The same command submits what fits, once no job of the plan is queued or runs."
    )


def _refuse_several_nodes(array: Sequence[Run], options: SlurmOptions) -> None:
    if commands := [options.by_hand(run) for run in array if not options.fits(run)]:
        raise RuntimeError(
            f"a node has {options.gpus_per_node} (--slurm-gpus-per-node), and a job has one node; "
            "start by hand, in the project's root:\n    " + "\n    ".join(commands)
        )


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


def _make_private(folder: Path) -> None:
    """Make a folder for its owner alone: what is unpickled from it is executed."""
    if folder.is_symlink():
        raise PermissionError(
            f"{folder} is a link, and jobs are read from there: remove it, or give another --out"
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _refuse_others(folder)
    folder.chmod(0o700)
    for path in folder.iterdir():
        _refuse_others(path)


def _refuse_others(path: Path) -> None:
    if (owner := path.lstat().st_uid) != os.getuid():
        raise PermissionError(
            f"{path} belongs to user {owner}, and jobs are read from there: remove it, or give "
            "another --out"
        )
