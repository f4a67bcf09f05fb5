"""Images and their labels: which files there are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mmengine import fileio

from tasks.data_checks import Problem, found

from .label_ids import IDS, TRAIN_IDS, TRAIN_IDS_ADVICE
from .layout import Layout


def check_pairs(
    samples: Sequence[dict],
    folders: tuple[str, str | None],
    suffixes: tuple[str, str],
    layout: Layout,
    some_may_be_missing: bool = False,
) -> tuple[list[Problem], int]:
    """Check that there are images, and that each has its label.

    Folders are listed and files not touched, which is quick.

    Args:
        samples: Entries with `img_path` and, with labels, `seg_map_path`.
        folders: Of the images and of the labels, which exist; None where there are no labels.
        suffixes: With which the files end.
        layout: Whose key of the config changes the suffixes.
        some_may_be_missing: Whether only folders without any of the files are a problem.

    Returns:
        The problems, and the number of labels without an image.
    """
    images, labels = folders
    if not samples:
        text = f"there is no image *{suffixes[0]} in {images} or its sub-folders"
        return [Problem(f"{text}, which has {_suffixes(images, layout)}")], 0
    paths = [sample["img_path"] for sample in samples]
    missing = [("images", paths, _missing(paths, _files(images, suffixes[0])))]
    spare = 0
    if labels is not None:
        paths = [sample["seg_map_path"] for sample in samples]
        present = _files(labels, suffixes[1])
        missing.append(("labels", paths, _missing(paths, present)))
        spare = len(present.difference(paths))
    problems = [
        problem
        for kind, wanted, absent in missing
        if len(absent) == len(wanted) or not some_may_be_missing
        for problem in found(_text(kind, len(wanted), absent), absent)
    ]
    return problems, spare


def _files(folder: str, suffix: str) -> set[str]:
    names = fileio.list_dir_or_file(folder, list_dir=False, suffix=suffix, recursive=True)
    return {os.path.join(folder, name) for name in names}


def _missing(wanted: Sequence[str], present: set[str]) -> list[str]:
    # Names in a list file may be spelt in another way than the folder has them.
    return [path for path in wanted if path not in present and not os.path.isfile(path)]


def _text(kind: str, wanted: int, missing: Sequence[str]) -> str:
    text = f"of {wanted} {kind} are missing"
    others = [path.replace(TRAIN_IDS, IDS) for path in missing if path.endswith(TRAIN_IDS)]
    if others and os.path.isfile(others[0]):
        text += f", while {os.path.basename(others[0])} is there: {TRAIN_IDS_ADVICE}"
    return text


def _suffixes(folder: str, layout: Layout) -> str:
    names = fileio.list_dir_or_file(folder, list_dir=False, recursive=True)
    suffixes = sorted({f"*{Path(name).suffix}" for name in names})
    if not suffixes:
        return "no files"
    return f"files {', '.join(suffixes)}; img_suffix of {layout.switch} says which are meant"
