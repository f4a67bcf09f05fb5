#!/usr/bin/env python
"""Time the parts of a face training: python tools/bench_face.py {loader,head,megaface}."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    import torch
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from normlib.analysis.speed_report import environment_lines
    from normlib.openmmlab.exit_code import exit_code
    from tasks.face.speed import head, loader, megaface
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error.name} is not installed for {sys.executable}: run `make install` in {ROOT}, "
        f"then {ROOT}/.venv/bin/python {Path(__file__).resolve()}"
    )

DESCRIPTION = """\
loader: images per second of the training loader, against bare loops in as many processes that read
the same records and decode them with OpenCV.
head: time and memory of a step of PartialFC (forward, backward, SGD with momentum) against a plain
softmax loss, each in processes of its own that take turns.
megaface: matching of made-up probes against made-up distractors, beside the bare matrix products of
the same blocks."""

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def _number(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
    return int(text)


_count, _several = partial(_number, least=1), partial(_number, least=2)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parts = parser.add_subparsers(dest="part", required=True)
    shared = dict(formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False)
    images = parts.add_parser("loader", help="the training loader", **shared)
    images.add_argument("--rec", metavar="FILE", help="records; else made-up ones are written")
    images.add_argument("--workers", nargs="+", type=int, default=[0, 2], metavar="N", help="each")
    images.add_argument("--batch-size", type=_count, default=128, metavar="N", help="of a process")
    images.add_argument("--images", type=_count, default=6400, metavar="N", help="in a round")
    classes = parts.add_parser("head", help="the classifier", **shared)
    classes.add_argument("--classes", type=_count, default=1_000_000, metavar="N", help="in all")
    classes.add_argument("--dim", type=_count, default=512, metavar="N", help="of an embedding")
    classes.add_argument("--batch-size", type=_count, default=128, metavar="N", help="in all")
    classes.add_argument(
        "--ranks", type=_count, metavar="N", help="that share classes; else 2, or the only GPU"
    )
    classes.add_argument("--sample-rate", type=float, default=0.1, help="of sampled classes")
    classes.add_argument("--steps", type=_count, default=3, metavar="N", help="timed in a round")
    classes.add_argument("--device", choices=("cpu", "cuda"), default=DEVICE, help="of all ranks")
    matches = parts.add_parser("megaface", help="the matching of MegaFace", **shared)
    matches.add_argument("--probes", type=_several, default=1000, metavar="N", help="images")
    matches.add_argument(
        "--distractors", type=_several, default=1_000_000, metavar="N", help="in a temporary file"
    )
    matches.add_argument("--dim", type=_several, default=512, metavar="N", help="of an embedding")
    matches.add_argument("--folder", metavar="DIR", help="for the temporary file")
    matches.add_argument("--device", default=DEVICE, help="cpu or cuda")
    for part in (images, classes):
        part.add_argument("--rounds", type=_count, default=3, metavar="N", help="of all in turn")
    args = parser.parse_args()
    if getattr(args, "device", "cpu").startswith("cuda") and not torch.cuda.is_available():
        parser.error(f"--device {args.device}: torch finds no GPU on this machine")
    return args


def _print(table: Table) -> None:
    Console(width=100, highlight=False).print(table)


def bench_loader(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rec = args.rec or loader.write_records(Path(folder))
        table = Table("workers", "bare, images/s", "loader, images/s", "ratio", box=SIMPLE)
        for workers in args.workers:
            speed = loader.measure(rec, workers, args.batch_size, args.images, args.rounds)
            cells = (f"{speed.bare:.0f}", f"{speed.loader:.0f}", f"{speed.ratio:.2f}")
            table.add_row(str(workers), *cells)
    _print(table)


def bench_head(args: argparse.Namespace) -> None:
    plain = head.Variant("plain softmax", None)
    variants = [plain, head.Variant("PartialFC", 1.0)]
    variants.append(head.Variant(f"PartialFC, sample_rate={args.sample_rate:g}", args.sample_rate))
    ranks = args.ranks or head.usual_ranks(args.device)
    if ranks > 1:
        variants.append(head.Variant(f"PartialFC on {ranks} ranks", 1.0, ranks))
    costs = head.measure(
        variants,
        args.classes,
        args.dim,
        args.batch_size,
        args.steps,
        args.rounds,
        device=args.device,
    )
    table = Table("head", "s/step", "of plain", "memory a rank (GiB)", "of plain", box=SIMPLE)
    for variant, found in costs.items():
        seconds = statistics.median(cost.seconds for cost in found)
        memory = statistics.median(cost.peak_bytes for cost in found)
        pairs = list(zip(found, costs[plain], strict=True))
        time_ratio = statistics.median(a.seconds / b.seconds for a, b in pairs)
        ratios = [a.peak_bytes / b.peak_bytes for a, b in pairs if b.peak_bytes]
        memory_ratio = f"{statistics.median(ratios):.2f}" if ratios else "-"  # too small to see
        figures = (f"{seconds:.3f}", f"{time_ratio:.2f}", f"{memory / 2**30:.2f}")
        table.add_row(variant.title, *figures, memory_ratio)
    print(f"{args.classes:,} classes, {args.batch_size} embeddings of {args.dim} numbers in all")
    _print(table)


def bench_megaface(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        made = megaface.made_up(Path(folder), args.probes, args.distractors, args.dim)
        speed = megaface.measure(*made, device=args.device)
    print(
        f"{args.probes:,} probes x {args.distractors:,} distractors of {args.dim} numbers, "
        f"{torch.get_num_threads()} threads"
    )
    for name, seconds in (("matching", speed.seconds), ("bare products", speed.products)):
        print(f"{name:15} {seconds:6.1f} s  {speed.operations / seconds / 1e9:8.1f} GFLOP/s")
    print(f"of their speed  {speed.products / speed.seconds:6.1%}")
    print(f"peak memory     {speed.peak_bytes / 2**30:6.2f} GiB, the file's mapped pages included")
    print(f"rank-1          {speed.rank1:6.1%}")


BENCHES = {"loader": bench_loader, "head": bench_head, "megaface": bench_megaface}


def main() -> int:
    args = parse_args()

    def run() -> None:
        device = getattr(args, "device", "cpu")
        print(", ".join(environment_lines(device)))
        BENCHES[args.part](args)

    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
