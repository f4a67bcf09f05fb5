#!/usr/bin/env python
"""Train a model: python tools/train.py CONFIG [options]."""

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
    parser = argparse.ArgumentParser(description="Train a model.", allow_abbrev=False)
    parser.add_argument("config", help="config file")
    parser.add_argument("--work-dir", help="for logs and checkpoints; default work_dirs/CONFIG")
    parser.add_argument("--amp", action="store_true", help="mixed precision")
    parser.add_argument(
        "--auto-scale-lr", action="store_true", help="scale the learning rate with the batch size"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="PATH",
        help="go on from a checkpoint; without PATH, from the latest one of the work directory",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="replace config values, e.g. norm_cfg.type=SyncSN coco_data.root=data/mine; "
        'lists as KEY="[a,b]"',
    )
    parser.add_argument("--launcher", choices=processes.LAUNCHERS, default="none")
    parser.add_argument("--local-rank", "--local_rank", type=int, default=0)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return exit_code(
        partial(
            commands.train,
            args.config,
            work_dir=args.work_dir,
            amp=args.amp,
            auto_scale_lr=args.auto_scale_lr,
            resume=args.resume,
            options=args.cfg_options,
            launcher=args.launcher,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
