"""Hit toy trainings with faults: python -m tests.chaos [options].

Ends with 0 where no checkpoint was lost, every training has ended with the same bits as the one
without faults, and all was as promised; else with 1.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from tests.chaos import disk
from tests.chaos.campaign import BaselineError, run
from tests.chaos.processes import Programs
from tests.chaos.report import details, table
from tests.toy_tasks import TOYS


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Hit toy trainings with faults."
    )
    parser.add_argument("--faults", type=int, default=50, help="how many (default 50)")
    parser.add_argument("--seed", type=int, help="of a run to repeat; else a new one")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time (default 2)")
    parser.add_argument(
        "--work-dir", type=Path, help="for data and runs; else a temporary folder, kept on failure"
    )
    parser.add_argument("--tasks", default=",".join(TOYS), help="default all: %(default)s")
    args = parser.parse_args()
    args.tasks = args.tasks.split(",")
    unknown = [task for task in args.tasks if task not in TOYS]
    if unknown:
        parser.error(f"--tasks: {', '.join(unknown)} is none of {', '.join(TOYS)}")
    for name in ("faults", "jobs"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} is {getattr(args, name)}: give 1 or more")
    if args.work_dir is not None and args.work_dir.exists() and any(args.work_dir.iterdir()):
        parser.error(f"--work-dir: {args.work_dir} is not empty")
    return args


def main() -> int:
    """Do what the command line says, and return the exit code."""
    args = parse_args()
    disk.enter_namespace()
    seed = random.randrange(2**31) if args.seed is None else args.seed
    folder = args.work_dir or Path(tempfile.mkdtemp(prefix="chaos_"))
    room = "a small file system" if disk.can_mount() else "a limit to the size of files"
    print(f"seed {seed}; full disks by {room}; files in {folder}", flush=True)
    signal.signal(signal.SIGTERM, _interrupt)
    began, programs, good = time.monotonic(), Programs(), False
    try:
        records = run(args.tasks, args.faults, seed, args.jobs, folder.absolute(), programs)
        wrong = details(records)
        print(f"\n{table(records)}\n")
        print(f"{time.monotonic() - began:.0f} s, seed {seed}")
        good = not wrong
        if wrong:
            print(f"\n{wrong}", file=sys.stderr)
    except BaselineError as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        programs.close()
        if args.work_dir is None and good:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if good else 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
