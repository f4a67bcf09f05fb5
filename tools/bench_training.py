#!/usr/bin/env python
"""Time the loader and the training step of a config with several norms, in one interleaved run."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    from mmengine.config import DictAction

    from normlib.analysis.speed_report import environment_lines
    from normlib.openmmlab.exit_code import exit_code
    from normlib.openmmlab.training_speed import measure_training_speed
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error.name} is not installed for {sys.executable}: run `make install` in {ROOT}, "
        f"then {ROOT}/.venv/bin/python {Path(__file__).resolve()}"
    )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("config", help="config file; its data must be there")
    parser.add_argument(
        "--norms", nargs="+", default=["BN", "SN"], metavar="NORM", help="default: BN SN"
    )
    parser.add_argument("--rounds", type=int, default=11, help="rounds of training steps")
    parser.add_argument("--batches", type=int, default=20, help="batches to time the loader over")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="replace config values, e.g. train_dataloader.batch_size=64",
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    os.environ.setdefault("LOCAL_RANK", "0")

    def run() -> None:
        speed = measure_training_speed(
            args.config, args.norms, args.rounds, args.batches, args.cfg_options
        )
        print(", ".join(environment_lines("cpu" if speed.device == "cpu" else "cuda")))
        print(speed.report())

    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
