"""Make a small generated data set: `python tools/make_toy_data.py SET OUT`."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys
from pathlib import Path

from tasks.toy_data import ade20k, cityscapes, coco, faces, folder, imagenet, kinetics

SETS = {
    "ade20k": (
        ade20k.ADE20KToy,
        ade20k.generate,
        "rooms and parks with label maps, as ADE20K's scene parsing release",
        {
            "train": "training pictures",
            "val": "validation pictures",
            "size": "longer side, pixels",
        },
    ),
    "cityscapes": (
        cityscapes.CityscapesToy,
        cityscapes.generate,
        "streets with label maps of 19 classes, as Cityscapes",
        {
            "train": "training pictures",
            "val": "validation pictures",
            "size": "height (half the width), pixels",
        },
    ),
    "coco": (
        coco.CocoToy,
        coco.generate,
        "shapes with boxes, masks and crowd regions in COCO format",
        {
            "train": "training pictures",
            "val": "validation pictures",
            "size": "longer side, pixels",
        },
    ),
    "faces": (
        faces.FacesToy,
        faces.generate,
        "drawn faces in records and verification pairs, as faces_emore",
        {
            "train": "training identities",
            "val": "validation identities",
            "images": "pictures of an identity",
            "pairs": "verification pairs, a multiple of 20",
        },
    ),
    "imagenet": (
        imagenet.ImageNetToy,
        imagenet.generate,
        f"{len(imagenet.CLASSES)} classes of pictures in class folders, as ImageNet's",
        {
            "train": "training pictures of a class",
            "val": "validation pictures of a class",
            "size": "side, pixels",
        },
    ),
    "kinetics": (
        kinetics.KineticsToy,
        kinetics.generate,
        f"videos of {len(kinetics.CLASSES)} motions in class folders and CSV lists, as Kinetics'",
        {
            "train": "training videos of a class",
            "val": "validation videos of a class",
            "size": "height, pixels",
            "frames": "of a video",
        },
    ),
}
_UNITS = {"kinetics": "videos"}  # "pictures" for the others


def _show_progress(unit: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{done}/{total} {unit}", end=end, file=sys.stderr, flush=True)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (parameters, _, text, texts) in SETS.items():
        command = commands.add_parser(
            name, help=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        command.add_argument("out", type=Path, help="folder to make")
        for field in dataclasses.fields(parameters):
            text = texts.get(field.name, "decides every byte")
            command.add_argument(f"--{field.name}", type=int, default=field.default, help=text)
        command.add_argument("--force", action="store_true", help="replace a toy set in OUT")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    args = _parse(arguments)
    parameters, generate, *_ = SETS[args.command]
    unit = _UNITS.get(args.command, "pictures")
    names = [field.name for field in dataclasses.fields(parameters)]
    try:
        toy = parameters(**{name: getattr(args, name) for name in names})
        made = folder.publish(
            args.out,
            {"set": args.command} | dataclasses.asdict(toy),
            lambda target: generate(target, toy, functools.partial(_show_progress, unit)),
            args.force,
        )
    except (ValueError, OSError) as error:
        print(f"make_toy_data: {error}", file=sys.stderr)
        return 1
    state = "made" if made else "is there already, unchanged:"
    pictures = toy.pictures
    print(
        f"{state} {args.out}: {pictures['train']} training and {pictures['val']} validation {unit}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
