#!/usr/bin/env python
"""Evaluate a checkpoint: python tools/test.py CONFIG CHECKPOINT [options]."""

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
    parser = argparse.ArgumentParser(description="Evaluate a checkpoint.", allow_abbrev=False)
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="weights: a path, a URL or a model zoo name")
    parser.add_argument("--work-dir", help="for the log; default work_dirs/CONFIG/test")
    parser.add_argument(
        "--out",
        metavar="FILE.json|DIR",
        help="write the predictions; of a detector as COCO JSON (FILE.bbox.json, FILE.segm.json), "
        "of a segmentor as label maps (DIR/IMAGE.png)",
    )
    parser.add_argument(
        "--show-dir",
        metavar="DIR",
        help="draw the predictions beside the truth, a picture an image (one process)",
    )
    augmentation = parser.add_mutually_exclusive_group()
    augmentation.add_argument("--tta", action="store_true", help="test-time augmentation")
    augmentation.add_argument(
        "--tta-compare",
        action="store_true",
        help="without, then with test-time augmentation: a table of both; what the second writes "
        "goes to folders 'tta' inside those of the first",
    )
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
            commands.evaluate,
            args.config,
            args.checkpoint,
            work_dir=args.work_dir,
            out=args.out,
            show_dir=args.show_dir,
            tta=args.tta,
            tta_compare=args.tta_compare,
            options=args.cfg_options,
            launcher=args.launcher,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
