"""Make a small generated data set: `python tools/make_toy_data.py coco OUT`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from tasks.toy_data import coco, folder


def _show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{done}/{total} pictures", end=end, file=sys.stderr, flush=True)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    default = coco.CocoToy()
    coco_parser = commands.add_parser(
        "coco",
        help="shapes with boxes, masks and crowd regions in COCO format",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    coco_parser.add_argument("out", type=Path, help="folder to make")
    coco_parser.add_argument("--train", type=int, default=default.train, help="training pictures")
    coco_parser.add_argument("--val", type=int, default=default.val, help="validation pictures")
    coco_parser.add_argument("--size", type=int, default=default.size, help="longer side, pixels")
    coco_parser.add_argument("--seed", type=int, default=default.seed, help="decides every byte")
    coco_parser.add_argument("--force", action="store_true", help="replace a toy set in OUT")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    args = _parse(arguments)
    try:
        toy = coco.CocoToy(args.train, args.val, args.size, args.seed)
        made = folder.publish(
            args.out,
            {"set": args.command} | dataclasses.asdict(toy),
            lambda target: coco.generate(target, toy, _show_progress),
            args.force,
        )
    except (ValueError, OSError) as error:
        print(f"make_toy_data: {error}", file=sys.stderr)
        return 1
    state = "made" if made else "is there already, unchanged:"
    print(f"{state} {args.out}: {toy.train} training and {toy.val} validation pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
