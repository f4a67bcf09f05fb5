#!/usr/bin/env python
"""Export a trained model: python tools/export_model.py CONFIG CHECKPOINT --format onnx."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    from mmengine.config import DictAction

    from normlib.openmmlab.exit_code import exit_code
    from normlib.openmmlab.export import export_model
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error.name} is not installed for {sys.executable}: run `make install` in {ROOT}, "
        f"then {ROOT}/.venv/bin/python {Path(__file__).resolve()}"
    )

DESCRIPTION = """\
Write a trained model as one graph that runs without this project: an ONNX file of standard
operators, or a program for torch.export.load, which needs torch alone. Norms that have settled on
batch statistics are folded into convolutions. The file is run and compared with the model before it
gets its name.

The input is a float32 tensor (batch, 3, height, width). Without --preprocess it holds images that
are normalised as in training; what that means is printed. With --preprocess it holds pixels from 0
to 255 with the channels in the order in which the config's data set loads images (BGR with mmcv's
LoadImageFromFile), and the graph reverses channels and normalises as the data_preprocessor does.
Padding and resizing are never in the graph."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="weights: a path, a URL or a model zoo name")
    parser.add_argument("--format", choices=("torch_export", "onnx"), required=True)
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="default: CHECKPOINT with the suffix .onnx or .pt2, after .NAME of --module",
    )
    parser.add_argument(
        "--size",
        nargs=2,
        type=int,
        default=(224, 224),
        metavar=("H", "W"),
        help="image size to record and time with (default: 224 224); other sizes are tried too",
    )
    parser.add_argument(
        "--module",
        metavar="NAME",
        help="export this part alone, such as the backbone of a detector",
    )
    parser.add_argument(
        "--preprocess",
        action="store_true",
        help="put reversal of channels and normalisation into the graph",
    )
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help='replace config values; lists as KEY="[a,b]"',
    )
    return parser.parse_args()


def export(args: argparse.Namespace) -> None:
    print(
        export_model(
            args.config,
            args.checkpoint,
            args.format,
            out=args.out,
            size=tuple(args.size),
            module=args.module,
            preprocess=args.preprocess,
            force=args.force,
            options=args.cfg_options,
        )
    )


if __name__ == "__main__":
    arguments = parse_args()
    sys.exit(exit_code(partial(export, arguments)))
