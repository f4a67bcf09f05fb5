#!/usr/bin/env python
"""Look through the data of a config before training: python tools/check_data.py CONFIG."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    from mmengine.config import DictAction
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope
    from mmengine.utils.dl_utils import set_multi_processing
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from normlib.openmmlab.data_sets import SPLITS, DataSource, data_sources
    from normlib.openmmlab.errors import ConfigError
    from normlib.openmmlab.exit_code import exit_code
    from normlib.openmmlab.launch import load_config
    from tasks.data_checks import DatasetError
    from tasks.data_checks.split_check import SplitCheck, check_split
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error.name} is not installed for {sys.executable}: run `make install` in {ROOT}, "
        f"then {ROOT}/.venv/bin/python {Path(__file__).resolve()}"
    )

DESCRIPTION = """\
Look through the data that a config names: every sample is read whole, and for each split the sizes,
how often each class occurs and everything that is wrong are shown. Into the folder of --out go, for
each split, a picture of samples with their labels (SPLIT.png), the whole label histogram
(SPLIT_labels.csv) and, if there are any, all problems (SPLIT_problems.txt).

The exit status is 0 where all samples can be used, 1 where some cannot, 2 for a wrong command or
config."""


def _count(least: int) -> object:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return int(text)

    return number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--splits", nargs="+", choices=SPLITS, help="default: those that the config has"
    )
    parser.add_argument(
        "--limit", type=_count(1), metavar="N", help="look at N evenly spread samples of each split"
    )
    parser.add_argument(
        "--workers",
        type=_count(0),
        metavar="N",
        default=len(os.sched_getaffinity(0)),
        help="processes that read (default: one a core; 0: no other process)",
    )
    parser.add_argument("--out", metavar="DIR", help="default: work_dirs/CONFIG/data_check")
    parser.add_argument(
        "--pictures", type=_count(0), metavar="N", default=9, help="in SPLIT.png (default: 9)"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="replace config values, e.g. coco_data.root=data/mine",
    )
    return parser.parse_args()


def _look(source: DataSource, folder: Path, args: argparse.Namespace, bar: Progress) -> SplitCheck:
    task = bar.add_task(source.name, total=None)
    with redirect_stdout(sys.stderr):  # pycocotools prints
        dataset = source.build(to_examine=args.limit is None)
    return check_split(
        f"{', '.join(source.splits)} ({type(dataset).__name__})",
        dataset,
        folder / source.name,
        args.limit,
        args.workers,
        args.pictures,
        lambda done, total: bar.update(task, completed=done, total=total, refresh=True),
    )


def check(args: argparse.Namespace) -> bool:
    """Whether all data can be used."""
    # The log of the data sets stays out of the report.
    MMLogger.get_instance("check_data").handlers[0].stream = sys.stderr
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get("default_scope", "mmengine"))
    set_multi_processing(**cfg.get("env_cfg", {}).get("mp_cfg", {}), distributed=False)
    folder = Path(args.out or Path(cfg.work_dir, "data_check"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {folder} cannot be made: {error}") from error
    usable = True
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    for source in data_sources(cfg, args.splits):
        console = Console(stderr=True)
        # Without a thread of its own: its lock could be held while workers are forked.
        options = dict(console=console, auto_refresh=False, disable=not console.is_terminal)
        try:
            with Progress(*columns, **options) as bar:
                result = _look(source, folder, args, bar)
        except DatasetError as error:
            print(f"{', '.join(source.splits)}: {error}\n", flush=True)
            usable = False
            continue
        print(result.text)
        print(f"written: {', '.join(map(str, result.files))}\n", flush=True)
        usable &= result.usable
    return usable


def main() -> int:
    args = parse_args()
    usable: list[bool] = []
    code = exit_code(lambda: usable.append(check(args)))
    return code or int(not all(usable))


if __name__ == "__main__":
    sys.exit(main())
