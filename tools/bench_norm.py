#!/usr/bin/env python
"""Time the normalisation layers against nn.BatchNorm2d and the plain formulas, interleaved."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from normlib.analysis.layer_speed import LAYOUTS, PEERS, measure, report

SHAPES = ["8,64,112,112", "8,256,56,56", "8,512,28,28", "8,2048,7,7"]


def shape(text: str) -> tuple[int, ...]:
    """Parse N,C,H,W."""
    sizes = tuple(int(size) for size in text.split(","))
    if len(sizes) != 4 or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no shape; give N,C,H,W, such as {SHAPES[1]}")
    return sizes


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", type=shape, default=[shape(s) for s in SHAPES])
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--layers", nargs="+", choices=PEERS, default=list(PEERS), metavar="LAYER")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", nargs="+", type=int, default=[torch.get_num_threads()])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the measurements to this file as well")
    return parser.parse_args()


def main() -> None:
    """Measure, and print a line as each is done."""
    args = parse_arguments()
    print(f"{'shape':>18} {'layout':>6} {'threads':>7}  {'layer':<17}", end="")
    print(f"{'ms':>9} {'x BN':>7} {'x plain SN':>11} {'saved / x':>10}")
    measurements = []
    for threads in args.threads:
        torch.set_num_threads(threads)
        for sizes in args.shapes:
            for layout in args.layouts:
                dtype = getattr(torch, args.dtype)
                rows = measure(sizes, layout, dtype, args.device, args.layers, args.rounds)
                measurements += rows
                for m in rows:
                    print(f"{m.shape!s:>18} {m.layout:>6} {m.threads:>7}  {m.layer:<17}", end="")
                    print(
                        f"{m.milliseconds:>9.2f} {m.to_batch_norm:>7.2f} {m.to_plain_sn:>11.2f} "
                        f"{m.saved:>10.2f}",
                        flush=True,
                    )
    if args.json:
        args.json.write_text(json.dumps(report(measurements), indent=2) + "\n")


if __name__ == "__main__":
    main()
