#!/usr/bin/env python
"""Train tasks with norms as a plan says, and report: python tools/benchmark.py PLAN."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    from rich.console import Console

    from tasks.benchmark.command import benchmark, benchmark_on_slurm, describe, prepare
    from tasks.benchmark.devices import Devices, DevicesError
    from tasks.benchmark.local import Interrupted
    from tasks.benchmark.plan import PlanError
    from tasks.benchmark.slurm import SlurmOptions
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error.name} is not installed for {sys.executable}: run `make install` in {ROOT}, "
        f"then {ROOT}/.venv/bin/python {Path(__file__).resolve()}"
    )

DESCRIPTION = """\
Train tasks with norms, batch settings and seeds as a plan says, then write a report. What is done
is not done again, what was interrupted goes on, what fails is tried again. Ctrl-C saves first.

Exit codes: 0 all runs are done, 1 some have failed or were not submitted, 2 the plan has to be
mended, 75 asked to end by SIGTERM, 130 by Ctrl-C; then the same command goes on from there."""


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 up")
    return number


def option(text: str) -> tuple[str, str | bool]:
    name, given, value = text.partition("=")
    return name, value if given else True


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("plan", help="a YAML file, or the name of one in configs/benchmark")
    parser.add_argument("--out", type=Path, help="default: work_dirs/benchmark/PLAN")
    parser.add_argument("--norms", nargs="+", metavar="NORM", help="in place of the plan's")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="likewise")
    parser.add_argument("--iterations", type=int, help="of each training, in place of the configs'")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print commands and times; data, weights and GPUs may be missing",
    )
    here = parser.add_argument_group("on this machine")
    here.add_argument(
        "--gpus",
        type=numbers,
        metavar="0,1,...",
        help="GPUs to fill with runs side by side (default: all)",
    )
    here.add_argument(
        "--jobs", type=int, default=1, help="runs side by side without GPUs (default: 1)"
    )
    slurm = parser.add_argument_group("on a cluster, as job arrays")
    slurm.add_argument("--slurm", metavar="PARTITION", help="submit to this partition")
    slurm.add_argument(
        "--slurm-gpus-per-node",
        type=positive,
        default=8,
        help="runs that take more are not submitted, and named (default: 8)",
    )
    slurm.add_argument(
        "--slurm-minutes", type=positive, default=24 * 60, help="time limit of a job"
    )
    slurm.add_argument("--slurm-cpus-per-gpu", type=positive, default=8)
    slurm.add_argument(
        "--slurm-parallel", type=positive, default=256, help="jobs of an array at a time"
    )
    slurm.add_argument(
        "--slurm-setup", action="append", default=[], metavar="LINE", help="shell line before a job"
    )
    slurm.add_argument(
        "--slurm-option",
        action="append",
        default=[],
        type=option,
        metavar="NAME[=VALUE]",
        help="further option of sbatch, such as account=vision",
    )
    return parser.parse_args()


def run(args: argparse.Namespace, console: Console) -> int:
    problems = []
    try:
        devices = Devices.of_this_machine(args.gpus, args.jobs, not args.dry_run)
    except DevicesError as error:
        devices, problems = Devices(), [str(error)]
    prepared = prepare(
        args.plan,
        args.out,
        args.norms,
        args.seeds,
        args.iterations,
        None if args.slurm else devices,
        not args.dry_run,
        problems,
    )
    options = None
    if args.slurm:
        options = SlurmOptions(
            partition=args.slurm,
            gpus_per_node=args.slurm_gpus_per_node,
            minutes=args.slurm_minutes,
            cpus_per_gpu=args.slurm_cpus_per_gpu,
            parallel=args.slurm_parallel,
            setup=tuple(args.slurm_setup),
            extra=dict(args.slurm_option),
        )
    if args.dry_run:
        describe(prepared, devices, console, options)
        return 0
    if options is not None:
        benchmark_on_slurm(prepared, options, console)
        return 0
    return 0 if benchmark(prepared, devices, console) else 1


def main() -> int:
    try:
        return run(parse_args(), Console())
    except (PlanError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Interrupted as error:
        print(error, file=sys.stderr)
        return 130 if error.number == signal.SIGINT else 75


if __name__ == "__main__":
    sys.exit(main())
