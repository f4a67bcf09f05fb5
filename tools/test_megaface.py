#!/usr/bin/env python
"""Evaluate embeddings on MegaFace: python tools/test_megaface.py PROBES DISTRACTORS [options]."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    from mmengine.device import get_device

    from normlib.openmmlab import processes
    from normlib.openmmlab.exit_code import exit_code
    from tasks.face.evaluation.megaface import run as megaface
    from tasks.face.evaluation.megaface.protocol import FARS
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error.name} is not installed for {sys.executable}: run `make install` in {ROOT}, "
        f"then {ROOT}/.venv/bin/python {Path(__file__).resolve()}"
    )

DESCRIPTION = """\
Match probes (FaceScrub) against distractors (MegaFace), both folders of embeddings that
tools/extract_embeddings.py has written: rank-1 identification and verification, in per cent.
With lists of noise they are measured a second time, with the noisy images replaced or left out
(rows "cleaned"). On several GPUs, or in several processes:

    torchrun --nproc-per-node N tools/test_megaface.py PROBES DISTRACTORS --launcher pytorch"""


def _size(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _far(text: str) -> float:
    try:
        far = float(text)
    except ValueError:
        far = 0.0
    if not 0 < far <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share above 0, up to 1, such as 1e-6")
    return far


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("probes", help="embeddings of the probes")
    add("distractors", help="embeddings of the distractors")
    add(
        "--probe-list",
        metavar="JSON",
        help="the devkit's facescrub_features_list.json; default: all probes, each of the person "
        "that its folder is named after",
    )
    add(
        "--distractor-list",
        nargs="+",
        default=[],
        metavar="JSON",
        help="the devkit's megaface_features_list.json_SIZE_SET, one set each; default: the first "
        "10, 100 ... and all distractors in their order",
    )
    add("--sizes", nargs="+", type=_size, metavar="N", help="the first N of them, or of one list")
    add("--facescrub-noises", metavar="FILE", help="InsightFace's list of noisy probes")
    add("--megaface-noises", metavar="FILE", help="InsightFace's list of noisy distractors")
    add(
        "--feature-suffix",
        metavar="TEXT",
        help="read the devkit's feature files IMAGE.jpgTEXT, such as _insightface.bin, from "
        "folders that are none of embeddings",
    )
    add("--fars", nargs="+", type=_far, default=list(FARS), help="rates of false accepts")
    add("--out", metavar="DIR", help="for results.json (default: work_dirs/megaface)")
    add("--device", help="where to compute (default: a GPU if there is one)")
    add("--launcher", choices=processes.LAUNCHERS, default="none")
    add("--local-rank", "--local_rank", type=int, default=0)
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    """Measure, and print the results in one of the processes."""
    processes.start(args.launcher)
    device = args.device or get_device()
    megaface.open_group(args.launcher)
    text = megaface.run(
        megaface.Request(
            probes=args.probes,
            distractors=args.distractors,
            probe_list=args.probe_list,
            distractor_lists=args.distractor_list,
            sizes=args.sizes,
            facescrub_noises=args.facescrub_noises,
            megaface_noises=args.megaface_noises,
            feature_suffix=args.feature_suffix,
            fars=args.fars,
        ),
        Path(args.out or "work_dirs/megaface"),
        device,
    )
    if text:
        print(text)


def main() -> int:
    args = parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return exit_code(partial(run, args))


if __name__ == "__main__":
    sys.exit(main())
