#!/usr/bin/env python
"""Time the loader of a video training: python tools/bench_video.py CONFIG."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    from mmengine.config import DictAction
    from mmengine.registry import FUNCTIONS, init_default_scope
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from normlib.analysis.speed_report import environment_lines
    from normlib.openmmlab.data_sets import data_sources
    from normlib.openmmlab.exit_code import exit_code
    from normlib.openmmlab.launch import load_config
    from tasks.video.speed import loader
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error.name} is not installed for {sys.executable}: run `make install` in {ROOT}, "
        f"then {ROOT}/.venv/bin/python {Path(__file__).resolve()}"
    )

DESCRIPTION = """\
Clips per second of the training loader of a config, all steps of its pipeline included, against
bare loops of PyAV in as many processes: each seeks to the key frame before a clip, decodes all
frames up to its last one and converts those of the clip. Both take turns; the ratio is the median
over rounds, beside the smallest."""


def _number(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
    return int(text)


_count, _or_none = partial(_number, least=1), partial(_number, least=0)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("config", help="config file")
    parser.add_argument("--videos", type=_count, default=64, metavar="N", help="in a round")
    parser.add_argument("--rounds", type=_count, default=5, metavar="N", help="of both in turn")
    parser.add_argument(
        "--workers", nargs="+", type=_or_none, default=[0, 2], metavar="N", help="each"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="replace config values, e.g. kinetics_data.root=data/mine",
    )
    return parser.parse_args()


def bench(args: argparse.Namespace) -> None:
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get("default_scope", "mmengine"))
    dataset = data_sources(cfg, ["train"])[0].build()
    collate = FUNCTIONS.get(
        cfg.train_dataloader.get("collate_fn", {}).get("type", "pseudo_collate")
    )
    batch = cfg.train_dataloader.batch_size
    table = Table("workers", "bare, clips/s", "loader, clips/s", "ratio", "smallest", box=SIMPLE)
    for workers in args.workers:
        speed = loader.measure(dataset, collate, workers, batch, args.videos, args.rounds)
        cells = (f"{speed.bare:.1f}", f"{speed.loader:.1f}")
        table.add_row(str(workers), *cells, f"{speed.ratio:.2f}", f"{speed.least:.2f}")
    print(", ".join(environment_lines("cpu")))
    Console(width=100, highlight=False).print(table)


def main() -> int:
    args = parse_args()
    return exit_code(lambda: bench(args))


if __name__ == "__main__":
    sys.exit(main())
