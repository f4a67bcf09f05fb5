#!/usr/bin/env python
"""Convert checkpoints that the authors of SN and SSN published: `IN OUT`, or `IN IN ... OUT`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    from normlib.openmmlab.convert_checkpoint import convert_checkpoint
    from normlib.openmmlab.exit_code import exit_code
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error.name} is not installed for {sys.executable}: run `make install` in {ROOT}, "
        f"then {ROOT}/.venv/bin/python {Path(__file__).resolve()}"
    )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "sources", nargs="+", metavar="IN", help="published files; encoder and decoder make one"
    )
    parser.add_argument("out", metavar="OUT", help="file to write, .pth or .safetensors")
    parser.add_argument("--config", help="check the weights against the model of this config")
    parser.add_argument(
        "--backbone", action="store_true", help="write the backbone alone, without 'backbone.'"
    )
    parser.add_argument(
        "--harden",
        action="store_true",
        help="make every ratio one-hot at its largest entry, as the argmax model was evaluated",
    )
    parser.add_argument("--force", action="store_true", help="replace OUT")
    parser.add_argument("--verbose", action="store_true", help="report every key")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    return exit_code(lambda: print(convert_checkpoint(**vars(args))))


if __name__ == "__main__":
    sys.exit(main())
