#!/usr/bin/env python
"""Report on runs: python tools/report.py work_dirs/demo."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    from rich.console import Console

    from normlib.openmmlab.exit_code import exit_code
    from tasks.report import write_report
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error.name} is not installed for {sys.executable}: run `make install` in {ROOT}, "
        f"then {ROOT}/.venv/bin/python {Path(__file__).resolve()}"
    )

DESCRIPTION = """\
Write what trainings measured as one page, report.html, and as report.md: tables by task in the form
of the papers, differences between norms over common seeds, learning curves, and the ratios that
layers chose. Only work directories are read, so that a report can be made long after the runs. The
page needs no other file and no network."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "folders",
        metavar="DIR",
        nargs="+",
        type=Path,
        help="work directory, or a folder above several",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="for the two files (default: the first DIR)"
    )
    return parser.parse_args()


def report(args: argparse.Namespace) -> None:
    written = write_report(args.folders, args.out or args.folders[0])
    console = Console(soft_wrap=not sys.stdout.isatty())
    for table in written.tables:
        console.print(table)
    for line in written.skipped:
        console.print(f"skipped: {line}", markup=False, highlight=False)
    print(f"written: {written.html}, {written.markdown}")


if __name__ == "__main__":
    arguments = parse_args()
    sys.exit(exit_code(partial(report, arguments)))
