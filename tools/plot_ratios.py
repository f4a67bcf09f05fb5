#!/usr/bin/env python
"""Draw what the norms of a model have chosen: python tools/plot_ratios.py work_dirs/NAME."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    from normlib.openmmlab.exit_code import exit_code
    from normlib.openmmlab.ratio_pictures import plot_ratios
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error.name} is not installed for {sys.executable}: run `make install` in {ROOT}, "
        f"then {ROOT}/.venv/bin/python {Path(__file__).resolve()}"
    )

DESCRIPTION = """\
Draw the importance ratios of switchable norms: averages of the parts of a network, every layer, how
far means and variances are apart, and the course of a training, with the choices of sparse norms.

A PATH is a work directory, the ratios.bin in it, or a checkpoint (.pth, .pt, .safetensors), which
has the ratios of one moment. Several are drawn side by side where that can be."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help="what to draw")
    parser.add_argument(
        "--out", metavar="DIR", help="for the PNG files (default: ratios beside the first PATH)"
    )
    parser.add_argument(
        "--axis",
        choices=("depth", "receptive-field"),
        default="depth",
        help="what layers are ordered by (default: depth)",
    )
    parser.add_argument(
        "--compare", nargs=2, metavar="PATH", help="draw the second's ratios minus the first's"
    )
    return parser.parse_args()


def plot(args: argparse.Namespace) -> None:
    compare = tuple(args.compare) if args.compare else None
    for text in plot_ratios(args.paths, args.out, args.axis.replace("-", " "), compare):
        print(text, flush=True)


if __name__ == "__main__":
    arguments = parse_args()
    sys.exit(exit_code(lambda: plot(arguments)))
