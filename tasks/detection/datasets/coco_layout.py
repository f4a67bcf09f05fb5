"""Where a COCO-format folder keeps its annotation files and images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.data_checks import DatasetError

from .annotation_file import list_folder

# Each split: annotation file -> image folders in use with it.
LAYOUTS: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        "annotations/instances_train2017.json": ("train2017/", "images/train2017/"),
        "annotations/instances_train2014.json": ("train2014/", "images/train2014/"),
        "annotations/instances_train.json": ("train/", "images/train/"),
        "train/_annotations.coco.json": ("train/",),  # as exported by Roboflow
    },
    "val": {
        "annotations/instances_val2017.json": ("val2017/", "images/val2017/"),
        "annotations/instances_val2014.json": ("val2014/", "images/val2014/"),
        "annotations/instances_val.json": ("val/", "images/val/"),
        "valid/_annotations.coco.json": ("valid/",),
    },
}


@dataclass(frozen=True)
class Split:
    """The parts of one split, relative to the root or absolute.

    Attributes:
        ann: annotation file.
        img: image folder.
    """

    ann: str
    img: str


def find_split(root: str, split: str, given: Mapping[str, str]) -> Split:
    """Find the annotation file and the image folder of a split.

    What is given is taken; the rest is looked up in `LAYOUTS`. The image folder need not exist:
    whoever only evaluates has no training images.

    Args:
        root: an existing folder.
        split: "train" or "val".
        given: `ann` and `img`, each of which may be absent.

    Raises:
        DatasetError: nothing fits, or more than one thing does.
    """
    ann = given.get("ann")
    if ann is None:
        ann = _only(root, split, "ann", list(LAYOUTS[split]))
    elif not os.path.isfile(os.path.join(root, ann)):
        raise DatasetError(
            f"coco_data.{split}_ann: {os.path.join(root, ann)} does not exist; {_contents(root)}"
        )
    if "img" in given:
        return Split(ann, given["img"])
    folders = LAYOUTS[split].get(os.path.normpath(ann))
    if folders is None:
        raise DatasetError(
            f"coco_data.{split}_img is needed as well: no image folder is known for "
            f"coco_data.{split}_ann={ann!r}; {_contents(root)}"
        )
    if not any(os.path.isdir(os.path.join(root, folder)) for folder in folders):
        return Split(ann, folders[0])
    return Split(ann, _only(root, split, "img", list(folders)))


def _only(root: str, split: str, part: str, candidates: list[str]) -> str:
    present = [name for name in candidates if os.path.exists(os.path.join(root, name))]
    if len(present) == 1:
        return present[0]
    advice = f"set coco_data.{split}_{part}"
    if present:
        raise DatasetError(f"{root} has {' and '.join(present)}: {advice} to choose one")
    looked = ", ".join(candidates)
    raise DatasetError(f"{root} has none of {looked}: {advice}; {_contents(root)}")


def _contents(root: str) -> str:
    parts = [f"{root} contains: {list_folder(Path(root))}"]
    annotations = Path(root, "annotations")
    if annotations.is_dir():
        parts.append(f"{annotations} contains: {list_folder(annotations)}")
    return "; ".join(parts)
