#!/usr/bin/env python
"""Embed faces: python tools/extract_embeddings.py CONFIG CHECKPOINT OUT --folder DIR [options]."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

try:
    from mmengine.config import DictAction
    from mmengine.dist import is_main_process

    from normlib.openmmlab import commands, processes
    from normlib.openmmlab.exit_code import exit_code
    from normlib.openmmlab.launch import load_config
    from tasks.face.evaluation.embedding_output import check_output
    from tasks.face.evaluation.extraction import extraction_options
    from tasks.face.evaluation.ijb.meta import TARGETS
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error.name} is not installed for {sys.executable}: run `make install` in {ROOT}, "
        f"then {ROOT}/.venv/bin/python {Path(__file__).resolve()}"
    )

DESCRIPTION = """\
Write the embeddings of images: into the folder OUT, which is whole or absent, go embeddings.npy
(float32, a row an image), names.txt (a line an image) and about.json. The log is beside it, in
OUT_log. In several processes: torchrun --nproc-per-node N ... --launcher pytorch."""


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
    parser.add_argument("checkpoint", help="weights: a path, a URL or a model zoo name")
    parser.add_argument("out", metavar="OUT", help="folder to write")
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--folder", metavar="DIR", help="every image below a folder, sorted")
    images.add_argument("--list", metavar="FILE", help="the images of a list, a path a line")
    images.add_argument("--rec", metavar="FILE", help="the images of a RecordIO file")
    images.add_argument("--bin", metavar="FILE", help="the images of a verification set")
    images.add_argument(
        "--ijb",
        metavar="META_DIR",
        help="the images of IJB-B or IJB-C, aligned by the landmarks of ijbc_name_5pts_score.txt",
    )
    parser.add_argument(
        "--root", metavar="DIR", help="that the paths of --list start from; default: ."
    )
    parser.add_argument("--images", metavar="DIR", help="folder of the images of --ijb")
    parser.add_argument("--target", choices=TARGETS, help="of --ijb, where META_DIR has both")
    parser.add_argument(
        "--batch-size", type=_count(1), metavar="N", default=128, help="default: 128 a process"
    )
    parser.add_argument(
        "--workers", type=_count(0), metavar="N", default=2, help="that load images; default: 2"
    )
    parser.add_argument("--force", action="store_true", help="replace OUT")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help='replace config values; lists as KEY="[a,b]"',
    )
    parser.add_argument("--launcher", choices=processes.LAUNCHERS, default="none")
    parser.add_argument("--local-rank", "--local_rank", type=int, default=0)
    args = parser.parse_args()
    if args.root is not None and args.list is None:
        parser.error("--root goes with --list")
    if (args.images is None) != (args.ijb is None):
        parser.error("--ijb META_DIR and --images DIR go together")
    if args.target is not None and args.ijb is None:
        parser.error("--target goes with --ijb")
    return args


def _dataset(args: argparse.Namespace) -> dict[str, Any]:
    if args.ijb is not None:
        return dict(
            type="FaceLandmarkDataset",
            data_root=args.images,
            meta_dir=args.ijb,
            target=args.target,
        )
    if args.folder is not None:
        given = dict(data_root=args.folder)
    elif args.list is not None:
        given = dict(data_root=args.root or "", ann_file=os.path.abspath(args.list))
    else:
        given = dict(rec=args.rec) if args.rec is not None else dict(bin=args.bin)
    return dict(type="FaceListDataset", **given)


def extract(args: argparse.Namespace) -> None:
    out = Path(os.path.abspath(os.path.expanduser(args.out)))
    check_output(out, args.force)
    options = args.cfg_options or {}
    # The rules would look for the training data.
    cfg = load_config(args.config, {**options, "config_rules": []})
    ours = extraction_options(
        cfg, args.checkpoint, out, _dataset(args), args.batch_size, args.workers, args.force
    )
    commands.evaluate(
        args.config,
        args.checkpoint,
        work_dir=str(out.with_name(f"{out.name}_log")),
        options={**options, **ours},
        launcher=args.launcher,
    )
    if is_main_process():
        print(f"written: {out}")


def main() -> int:
    args = parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return exit_code(lambda: extract(args))


if __name__ == "__main__":
    sys.exit(main())
