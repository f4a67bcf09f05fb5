#!/usr/bin/env python
"""Verify templates of IJB-B or IJB-C: python tools/test_ijb.py META_DIR EMBEDDINGS [options]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from normlib.openmmlab.errors import ConfigError
    from normlib.openmmlab.exit_code import exit_code
    from tasks.face.evaluation.embedding_folder import EmbeddingFolder
    from tasks.face.evaluation.ijb import meta, report
    from tasks.face.evaluation.ijb.protocol import verify_templates
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error.name} is not installed for {sys.executable}: run `make install` in {ROOT}, "
        f"then {ROOT}/.venv/bin/python {Path(__file__).resolve()}"
    )

DESCRIPTION = """\
The 1:1 protocol of IJB-B and IJB-C: images of a template are averaged by media and added, pairs of
templates compared, and the true accepts at rates of false ones shown. META_DIR has
ijbc_name_5pts_score.txt, ijbc_face_tid_mid.txt and ijbc_template_pair_label.txt (or ijbb_...);
EMBEDDINGS is what tools/extract_embeddings.py makes of the aligned images."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("meta_dir", metavar="META_DIR", type=Path, help="folder of the lists")
    parser.add_argument("embeddings", metavar="EMBEDDINGS", help="folder of the embeddings")
    parser.add_argument(
        "--target", choices=meta.TARGETS, help="needed where META_DIR has lists of both"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="for results.json and roc.png")
    parser.add_argument(
        "--no-detector-score",
        action="store_true",
        help="let every image of a template count the same, whatever the score of its detection",
    )
    return parser.parse_args()


def evaluate(args: argparse.Namespace) -> None:
    target = meta.find_target(args.meta_dir, args.target)
    folder = EmbeddingFolder.open(args.embeddings)
    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        reading = bar.add_task("lists", total=3)
        faces = meta.read_faces(args.meta_dir, target)
        bar.advance(reading)
        templates = meta.read_templates(args.meta_dir, target)
        bar.advance(reading)
        pairs = meta.read_pairs(args.meta_dir, target)
        bar.advance(reading)
        comparing = bar.add_task("pairs of templates", total=None)
        result = verify_templates(
            folder,
            faces,
            templates,
            pairs,
            detector_score=not args.no_detector_score,
            progress=lambda done, total: bar.update(comparing, completed=done, total=total),
        )
    print(report.table(target, result))
    if args.out is not None:
        about = {
            "embeddings": str(folder.path),
            "about": folder.about,
            "detector_score": not args.no_detector_score,
        }
        try:
            files = report.write(target, result, about, args.out)
        except OSError as error:
            raise ConfigError(f"--out {args.out} cannot be written: {error}") from error
        print(f"written: {', '.join(map(str, files))}")


def main() -> int:
    args = parse_args()
    return exit_code(lambda: evaluate(args))


if __name__ == "__main__":
    sys.exit(main())
