"""Images and their labels: which files there are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mmengine import fileio

from tasks.data_checks import Problem, found

from .label_values import TRAIN_IDS_ADVICE

_TRAIN_IDS, _IDS = "_labelTrainIds.png", "_labelIds.png"


def check_pairs(
    samples: Sequence[dict], folders: tuple[str, str | None], suffixes: tuple[str, str]
) -> tuple[list[Problem], int]:
    """Check that there are images, and that each has its label.

    Folders are listed and files not touched, which is quick.

    Args:
        samples: Entries with `img_path` and, with labels, `seg_map_path`.
        folders: Of the images and of the labels, which exist; None where there are no labels.
        suffixes: With which the files end.

    Returns:
        The problems, and the number of labels without an image.
    """
    images, labels = folders
    if not samples:
        text = f"there is no image *{suffixes[0]} in {images} or its sub-folders"
        return [Problem(f"{text}, which has {_suffixes(images)}")], 0
    problems = _missing("images", [s["img_path"] for s in samples], _files(images, suffixes[0]))
    if labels is None:
        return problems, 0
    wanted = [sample["seg_map_path"] for sample in samples]
    present = _files(labels, suffixes[1])
    return problems + _missing("labels", wanted, present), len(present.difference(wanted))


def _files(folder: str, suffix: str) -> set[str]:
    names = fileio.list_dir_or_file(folder, list_dir=False, suffix=suffix, recursive=True)
    return {os.path.join(folder, name) for name in names}


def _missing(kind: str, wanted: Sequence[str], present: set[str]) -> list[Problem]:
    # Names in a list file may be spelt in another way than the folder has them.
    missing = [path for path in wanted if path not in present and not os.path.isfile(path)]
    text = f"of {len(wanted)} {kind} are missing"
    others = [path.replace(_TRAIN_IDS, _IDS) for path in missing if path.endswith(_TRAIN_IDS)]
    if others and os.path.isfile(others[0]):
        text += f", while {os.path.basename(others[0])} is there: {TRAIN_IDS_ADVICE}"
    return found(text, missing)


def _suffixes(folder: str) -> str:
    names = fileio.list_dir_or_file(folder, list_dir=False, recursive=True)
    suffixes = sorted({f"*{Path(name).suffix}" for name in names})
    return f"files {', '.join(suffixes)} (img_suffix says which)" if suffixes else "no files"
