"""What `tools/benchmark.py` does: a plan's runs and the report on them."""

from __future__ import annotations

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
from .plan import ROOT, Plan, PlanError, find_plan, read_plan
from .record import State, foreign_folders, state_of, why_outdated
from .run import Run
from .scheduler import Status
from .slurm import SlurmOptions, submit
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
) -> Prepared:
    """Read a plan and look at everything that it needs.

    Args:
        name: Path of a plan, or its name in `configs/benchmark`.
        out: Folder of all work directories; by default `work_dirs/benchmark/<plan>`.
        norms: Replace those of the plan.
        seeds: Replace those of the plan.
        iterations: Length of every training, in place of the configs'.
        devices: Where the runs are to start; None where that is for others to decide.
        needs_data: Whether data that are not there are a problem.

    Raises:
        PlanError: Every problem found.
    """
    path = find_plan(name)
    plan = read_plan(path, norms, seeds, iterations)
    out = (out or ROOT / "work_dirs" / "benchmark" / plan.name).expanduser().absolute()
    runs = expand(plan, out, needs_data)
    problems = foreign_folders(runs)
    for run in runs if devices is not None else ():
        if devices.too_few_for(run.processes):
            problems.append(
                f"{run.task}: {run.title} takes {run.processes} GPUs, there are "
                f"{len(devices.gpus)}; on a cluster give --slurm PARTITION, or other batch_settings"
            )
    if problems:
        raise PlanError(path, problems)
    return Prepared(plan, out, tuple(runs))


def describe(prepared: Prepared, devices: Devices, console: Console) -> None:
    """Print every command of a plan, and how long it all takes."""
    runs = prepared.runs
    for run in runs:
        seconds = seconds_of(run, runs)
        about = f"about {in_words(seconds)}" if seconds else "time unknown"
        why = why_outdated(run)
        done = "done" if state_of(run) is State.DONE else f"{about}, anew: {why}" if why else about
        lines = f"# {run.task}: {run.title}: {done}\n{shlex.join(run.command)}"
        console.print(lines, highlight=False, markup=False, soft_wrap=True)
    seconds, unknown = total_seconds(runs, devices)
    left = sum(state_of(run) is not State.DONE for run in runs)
    about = f"about {in_words(seconds)}" if seconds else ""
    rest = f"{unknown} whose time nothing tells" if unknown else ""
    times = ", and ".join(words for words in (about, rest) if words) or "nothing to do"
    console.print(f"{len(runs)} runs, {left} to do: {times}", highlight=False, markup=False)


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
        console.print(
            f"{job.run.title}: {job.status.value}, {job.note}", highlight=False, markup=False
        )
    return not failed


def benchmark_on_slurm(prepared: Prepared, options: SlurmOptions, console: Console) -> None:
    """Submit a plan's runs to Slurm.

    Raises:
        RuntimeError: Generated data cannot be made, or Slurm does not take the runs.
    """
    _make_data(prepared, console)
    _tell_outdated(prepared, console)
    plan, folder = prepared.plan, prepared.out / "slurm"
    for array in submit(prepared.runs, plan.name, folder, options, plan.retries):
        gpus = array.runs[0].processes
        console.print(
            f"job array {array.array}: {len(array.runs)} runs of {gpus} GPUs",
            highlight=False,
            markup=False,
        )
    console.print(
        f"logs of the jobs: {folder}\nwhen they have ended: tools/report.py {prepared.out}",
        highlight=False,
        markup=False,
    )


def report(out: Path, console: Console) -> None:
    """Write the report on a folder of runs, and print its tables."""
    try:
        written = write_report([out], out)
    except ReportError as error:
        console.print(f"no report: {error}", highlight=False, markup=False)
        return
    for table in written.tables:
        console.print(table)
    for line in written.skipped:
        console.print(f"left out: {line}", highlight=False, markup=False)
    console.print(f"report: {written.html}", highlight=False, markup=False, soft_wrap=True)


def _make_data(prepared: Prepared, console: Console) -> None:
    for name in toy_data_of(prepared.plan):
        done = make_toy_data(prepared.out, name)
        console.print(f"generated data: {done}", highlight=False, markup=False, soft_wrap=True)


def _tell_outdated(prepared: Prepared, console: Console) -> None:
    for run in prepared.runs:
        if (why := why_outdated(run)) is not None:
            console.print(
                f"{run.task}: {run.title} is to be done anew: {why}; what it has done will be "
                f"kept beside {run.work_dir}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )


def toy_data_of(plan: Plan) -> Sequence[str]:
    """The generated sets that a plan runs on."""
    return list(dict.fromkeys(e.toy_data for e in plan.entries if e.toy_data is not None))
