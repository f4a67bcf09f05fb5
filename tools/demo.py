#!/usr/bin/env python
"""Pretrain and finetune small models with every norm on generated data, and print tables."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tasks.demo import NORMS, ROOT, DemoError, run_demo


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "work_dirs" / "demo")
    parser.add_argument("--norms", nargs="+", default=list(NORMS), metavar="NORM")
    parser.add_argument("--iterations", type=int, help="default: what the configs say")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        run_demo(args.out, tuple(args.norms), args.iterations)
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
