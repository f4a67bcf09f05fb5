#!/usr/bin/env python
"""Fetch a checkpoint that the authors of SN and SSN published: `NAME`, or `--list`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn
from rich.table import Table

from normlib.checkpoint import released_download
from normlib.checkpoint.released import ReleasedFileError
from normlib.checkpoint.released_files import FILES, LICENCE


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", metavar="NAME", help="one of those that --list shows")
    parser.add_argument("--list", action="store_true", help="show the published files")
    parser.add_argument("--out", type=Path, help="default: checkpoints/NAME.pth")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument(
        "--url", default=released_download.URL, help="another place; {id} stands for the file's id"
    )
    args = parser.parse_args(arguments)
    if args.list == bool(args.name):
        parser.error("give NAME, or --list")
    if args.name and args.name not in FILES:
        parser.error(f"{args.name!r} is none of the published files: {', '.join(FILES)}")
    if "{id}" not in args.url:
        parser.error(f"--url {args.url}: it needs {{id}} where the file's id belongs")
    return args


def _show_list() -> None:
    table = Table("name", "task", "model", "published", "pixels", "used", "linked in")
    for file in FILES.values():
        row = (file.name, file.task, file.entry, file.figures, str(file.pixels), file.used)
        table.add_row(*(escape(text) for text in row), file.source)
    width = None if sys.stdout.isatty() else 400
    Console(width=width).print(table)
    print(f"All of them are their authors', under {LICENCE}.")


def _download(args: argparse.Namespace) -> None:
    file = FILES[args.name]
    out = args.out or Path(file.path)
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(file.name, total=None)
        fetched = released_download.fetch(
            file,
            out,
            args.url,
            args.force,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    if not fetched:
        print(f"is there already, unchanged: {out}")
        return
    checked = "as published" if file.md5 else "none is published"
    print(
        f"fetched {out}: {file.entry} ({LICENCE}); MD5 {released_download.md5_of(out)}, {checked}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    args = _parse(arguments)
    try:
        _show_list() if args.list else _download(args)
    except ReleasedFileError as error:
        print(f"download_checkpoint: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from there", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
