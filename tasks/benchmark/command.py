"""What `tools/benchmark.py` does: a plan's runs and the report on them."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tasks.report import ReportError, write_report

from .devices import Devices
from .estimate import in_words, seconds_of, total_seconds
from .expansion import expand
from .local import run_here
from .plan import ROOT, Plan, find_plan
from .plan_reader import read_plan
from .record import State, state_of, why_outdated
from .run import Run
from .scheduler import Status
from .slurm import SlurmOptions, foresee, submit
from .toy_data import make_toy_data


@dataclass(frozen=True)
class Prepared:
    """A plan that can start.

    Attributes:
        plan: The plan.
        out: Folder of its work directories.
        runs: Each after those that it needs.
    """

    plan: Plan
    out: Path
    runs: tuple[Run, ...]


def prepare(
    name: str,
    out: Path | None = None,
    norms: Collection[str] | None = None,
    seeds: Collection[int] | None = None,
    iterations: int | None = None,
    devices: Devices | None = None,
    needs_data: bool = True,
    problems: Sequence[str] = (),
) -> Prepared:
    """Read a plan and look at everything that it needs.

    Args:
        name: Path of a plan, or its name in `configs/benchmark`.
        out: Folder of all work directories; by default `work_dirs/benchmark/<plan>`.
        norms: Replace those of the plan.
        seeds: Replace those of the plan.
        iterations: Length of every training, in place of the configs'.
        devices: Where the runs are to start; None where that is for others to decide.
        needs_data: Whether data, weights and GPUs that are not there are a problem.
        problems: Those known already, to be listed with the others.

    Raises:
        PlanError: Every problem found.
    """
    plan = read_plan(find_plan(name), norms, seeds, iterations)
    plan = dataclasses.replace(plan, problems=(*problems, *plan.problems))
    out = (out or ROOT / "work_dirs" / "benchmark" / plan.name).expanduser().absolute()
    return Prepared(plan, out, tuple(expand(plan, out, needs_data, devices)))


def describe(
    prepared: Prepared, devices: Devices, console: Console, options: SlurmOptions | None = None
) -> None:
    """Print every command of a plan, how long it all takes, and the job arrays on a cluster."""
    runs = prepared.runs
    for run in runs:
        seconds = seconds_of(run, runs)
        about = f"about {in_words(seconds)}" if seconds else "time unknown"
        why = why_outdated(run)
        done = "done" if state_of(run) is State.DONE else f"{about}, anew: {why}" if why else about
        lines = f"# {run.task}: {run.title}: {done}\n{shlex.join(run.command)}"
        _say(console, lines)
    seconds, unknown = total_seconds(runs, devices)
    left = sum(state_of(run) is not State.DONE for run in runs)
    about = f"about {in_words(seconds)}" if seconds else ""
    rest = f"{unknown} of unknown duration" if unknown else ""
    times = ", and ".join(words for words in (about, rest) if words) or "nothing to do"
    _say(console, f"{len(runs)} runs, {left} to do: {times}")
    for line in foresee(runs, options) if options is not None else ():
        _say(console, line)


def benchmark(prepared: Prepared, devices: Devices, console: Console) -> bool:
    """Do a plan's runs on this machine, write the report, and print its tables.

    Returns:
        Whether all runs are done.

    Raises:
        RuntimeError: Generated data cannot be made.
        Interrupted: By a signal; what is done is in no report yet.
    """
    _make_data(prepared, console)
    _tell_outdated(prepared, console)
    jobs = run_here(prepared.runs, prepared.plan.name, devices, prepared.plan.retries, console)
    report(prepared.out, console)
    failed = [job for job in jobs if job.status is not Status.DONE]
    for job in failed:
        _say(console, f"{job.run.title}: {job.status.value}, {job.note}")
    for run in prepared.runs:
        if (why := why_outdated(run)) is not None:
            _say(
                console,
                f"outdated, and not done anew: {run.task}: {run.title}: {why}; the report has what "
                "it did before",
            )
    return not failed


def benchmark_on_slurm(prepared: Prepared, options: SlurmOptions, console: Console) -> None:
    """Submit a plan's runs to Slurm.

    Raises:
        RuntimeError: Generated data cannot be made, or some runs are not submitted; the others are.
        OSError: The folder for the jobs is another user's, or cannot be made.
    """
    _make_data(prepared, console)
    _tell_outdated(prepared, console)
    plan, folder = prepared.plan, prepared.out / "slurm"
    logs = f"logs of the jobs: {folder}\nwhen they have ended: tools/report.py {prepared.out}"
    submitted = 0
    try:
        for array in submit(prepared.runs, plan.name, folder, options, plan.retries):
            _say(console, str(array))
            submitted += 1
    finally:
        if submitted:
            _say(console, logs)


def report(out: Path, console: Console) -> None:
    """Write the report on a folder of runs, and print its tables."""
    try:
        written = write_report([out], out)
    except ReportError as error:
        _say(console, f"no report: {error}")
        return
    for table in written.tables:
        console.print(table)
    for line in written.skipped:
        _say(console, f"left out: {line}")
    _say(console, f"report: {written.html}")


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _make_data(prepared: Prepared, console: Console) -> None:
    for name in toy_data_of(prepared.plan):
        done = make_toy_data(prepared.out, name)
        _say(console, f"generated data: {done}")


def _tell_outdated(prepared: Prepared, console: Console) -> None:
    for run in prepared.runs:
        if (why := why_outdated(run)) is not None:
            _say(
                console,
                f"{run.task}: {run.title} is to be done anew: {why}; what it has done will be "
                f"kept beside {run.work_dir}",
            )


def toy_data_of(plan: Plan) -> Sequence[str]:
    """The generated sets that a plan runs on."""
    return list(dict.fromkeys(e.toy_data for e in plan.entries if e.toy_data is not None))
