#!/usr/bin/env python
"""Time the inference of a network with several norms: python tools/speed.py CONFIG [CHECKPOINT]."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    from mmengine.config import DictAction
    from mmengine.device import get_device

    from normlib.openmmlab.exit_code import exit_code
    from normlib.openmmlab.inference_report import as_json, as_text
    from normlib.openmmlab.inference_settings import AMP, Settings
    from normlib.openmmlab.inference_speed import measure_inference_speed
    from normlib.openmmlab.norm_variants import VARIANTS
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error.name} is not installed for {sys.executable}: run `make install` in {ROOT}, "
        f"then {ROOT}/.venv/bin/python {Path(__file__).resolve()}"
    )

DESCRIPTION = """\
Latency and throughput of one network with batch norm, soft and hard switchable norms, and norms
that are folded into convolutions, all in one interleaved run on random images. Timed is what the
network computes from normalised images up to what its heads return, without post-processing.

With a checkpoint, its own ratios decide which statistic a hard layer takes."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        epilog="\n".join(["variants:", *(f"  {name}: {text}" for name, text in VARIANTS.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("config", help="config file; its data need not be there")
    parser.add_argument("checkpoint", nargs="?", help="weights: a path, a URL or a model zoo name")
    parser.add_argument(
        "--norms",
        nargs="+",
        default=list(VARIANTS),
        metavar="VARIANT",
        help="variants to time, see below (default: all); ratios are to the first in the table",
    )
    parser.add_argument(
        "--batch-sizes", nargs="+", type=int, default=[1, 8], metavar="N", help="default: 1 8"
    )
    parser.add_argument(
        "--size",
        nargs=2,
        type=int,
        metavar=("H", "W"),
        help="image size (default: that of the config's test)",
    )
    parser.add_argument(
        "--frames", type=int, metavar="T", help="frames of a clip (default: as the config's test)"
    )
    parser.add_argument(
        "--module", metavar="NAME", help="time this part alone, such as the backbone of a detector"
    )
    parser.add_argument("--device", default=get_device(), help="default: %(default)s")
    parser.add_argument("--threads", type=int, metavar="N", help="threads on the CPU")
    parser.add_argument(
        "--rounds", type=int, default=15, metavar="N", help="each runs every variant (default: 15)"
    )
    parser.add_argument(
        "--channels-last", action="store_true", help="memory format of weights and images"
    )
    parser.add_argument("--amp", choices=AMP, help="run under autocast")
    parser.add_argument(
        "--keep-memory",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep freed memory in the process, on a CPU with glibc (default: yes)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the figures there")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help='replace config values; lists as KEY="[a,b]"',
    )
    args = parser.parse_args()
    if args.out and (args.out.is_dir() or not args.out.parent.is_dir()):
        parser.error(f"--out {args.out}: give a file in a folder that exists")
    return args


def speed(args: argparse.Namespace) -> None:
    settings = Settings(
        variants=tuple(args.norms),
        batch_sizes=tuple(args.batch_sizes),
        size=None if args.size is None else tuple(args.size),
        frames=args.frames,
        module=args.module,
        device=args.device,
        threads=args.threads,
        rounds=args.rounds,
        channels_last=args.channels_last,
        amp=args.amp,
        keep_memory=args.keep_memory,
    )
    measured = measure_inference_speed(args.config, args.checkpoint, settings, args.cfg_options)
    print(as_text(measured))
    if args.out:
        args.out.write_text(as_json(measured))


if __name__ == "__main__":
    arguments = parse_args()
    sys.exit(exit_code(partial(speed, arguments)))
