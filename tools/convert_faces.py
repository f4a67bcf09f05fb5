#!/usr/bin/env python
"""Folders of faces into RecordIO and back: `to-rec FOLDER OUT_DIR`, `to-folder REC OUT_DIR`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    from mmengine.logging import MMLogger
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from tasks.data_checks import DatasetError
    from tasks.face.conversion import OutputError, folder_to_records, records_to_folder
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error.name} is not installed for {sys.executable}: run `make install` in {ROOT}, "
        f"then {ROOT}/.venv/bin/python {Path(__file__).resolve()}"
    )


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    to_rec = commands.add_parser(
        "to-rec", help="a folder for each identity into train.rec, train.idx, property, classes.txt"
    )
    to_rec.add_argument("source", type=Path, metavar="FOLDER", help="holds the folders")
    to_rec.add_argument(
        "--size", type=int, choices=[112], help="resize the centre squares of other sizes"
    )
    to_folder = commands.add_parser("to-folder", help="every image into OUT_DIR/IDENTITY/KEY.jpg")
    to_folder.add_argument("source", type=Path, metavar="REC", help="such as train.rec")
    for command in (to_rec, to_folder):
        command.add_argument("out", type=Path, metavar="OUT_DIR", help="folder to make")
        command.add_argument(
            "--force", action="store_true", help="replace what an earlier conversion made there"
        )
    return parser.parse_args(arguments)


def _convert(args: argparse.Namespace) -> tuple[int, int]:
    # The log of the data stays out of the output.
    MMLogger.get_instance("convert_faces").handlers[0].stream = sys.stderr
    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(args.command, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        if args.command == "to-rec":
            return folder_to_records(args.source, args.out, args.size, args.force, show)
        return records_to_folder(args.source, args.out, args.force, show)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    args = _parse(arguments)
    try:
        images, identities = _convert(args)
    except (DatasetError, OutputError, OSError) as error:
        print(f"convert_faces: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    print(f"written: {args.out}, {images:,} images of {identities:,} identities")
    return 0


if __name__ == "__main__":
    sys.exit(main())
