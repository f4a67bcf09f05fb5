#!/usr/bin/env python
"""Average the batch statistics of a checkpoint: python tools/batch_average.py CONFIG CHECKPOINT."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    from mmengine.config import DictAction

    from normlib.openmmlab import commands, processes
    from normlib.openmmlab.exit_code import exit_code
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error.name} is not installed for {sys.executable}: run `make install` in {ROOT}, "
        f"then {ROOT}/.venv/bin/python {Path(__file__).resolve()}"
    )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Write a checkpoint with batch statistics averaged over training batches.",
        allow_abbrev=False,
    )
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="weights: a path, a URL or a model zoo name")
    parser.add_argument(
        "--out", metavar="FILE", help="default NAME_batch_average.pth beside NAME.pth"
    )
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    parser.add_argument(
        "--num-batches",
        type=int,
        metavar="N",
        help="batches that every process feeds; default: the config's BatchAverageHook's, or 200",
    )
    parser.add_argument("--work-dir", help="for the log; default work_dirs/CONFIG/batch_average")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help='replace config values; lists as KEY="[a,b]"',
    )
    parser.add_argument("--launcher", choices=processes.LAUNCHERS, default="none")
    parser.add_argument("--local-rank", "--local_rank", type=int, default=0)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return exit_code(
        partial(
            commands.batch_average,
            args.config,
            args.checkpoint,
            out=args.out,
            num_batches=args.num_batches,
            force=args.force,
            work_dir=args.work_dir,
            options=args.cfg_options,
            launcher=args.launcher,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
