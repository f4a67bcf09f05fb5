"""Pairs of image files for verification, read from a list."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

from tasks.data_checks import DatasetError, found, leads_out, outside, raise_if_any
from tasks.image_classes import IMAGE_SUFFIXES, missing_files

_FORM = (
    "lines are 'PATH PATH 1' for one person and 'PATH PATH 0' for two (split by tabs where paths "
    "have spaces), or 'NAME N N' and 'NAME N NAME N' as in LFW's pairs.txt"
)


class PairList(NamedTuple):
    """Pairs of image files.

    Attributes:
        paths: Every file once, in the order of their first pairs, relative to the folder.
        pairs: Indices of the files of each pair, int64 of shape (pairs, 2).
        same: Whether a pair shows one person, bool of shape (pairs,).
    """

    paths: list[str]
    pairs: np.ndarray
    same: np.ndarray


def read_pair_list(path: str, folder: str) -> PairList:
    """Read a list of pairs.

    Args:
        path: Lines `PATH PATH 0|1`, or LFW's `pairs.txt`: after a line of numbers `NAME I J` for
            two images of a person and `NAME I NAME J` for images of two, which are files
            `NAME/NAME_0001.jpg` (or of another format).
        folder: What the paths are relative to.

    Raises:
        DatasetError: The list is missing, empty, has a line of another form or with a path that
            leads out of the folder, or names files that do not exist.
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = [(number, line.strip()) for number, line in enumerate(file, 1) if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"list of pairs {path} cannot be read: {error}") from error
    if lines and all(word.isdecimal() for word in lines[0][1].split()):
        lines = lines[1:]  # LFW's numbers of folds and of pairs in each
    if not lines:
        raise DatasetError(f"{path} lists no pairs; {_FORM}")
    fields = [(number, line.split("\t" if "\t" in line else None)) for number, line in lines]
    lfw = all(_is_lfw(parts) for _, parts in fields)
    files = _LfwFiles(folder)
    names: dict[str, int] = {}
    pairs, same, wrong = [], [], []
    used: list[tuple[str, str]] = []
    for number, parts in fields:
        if lfw:
            if any("/" in part or leads_out(part) for part in parts):
                wrong.append(f"line {number}: {' '.join(parts)!r}")
                continue
            together = len(parts) == 3
            first = files.path(parts[0], parts[1])
            second = files.path(parts[0] if together else parts[2], parts[-1])
        elif len(parts) == 3 and parts[2] in ("0", "1"):
            first, second, together = parts[0], parts[1], parts[2] == "1"
        else:
            wrong.append(f"line {number}: {' '.join(parts)!r}")
            continue
        used += [(first, f"line {number}"), (second, f"line {number}")]
        pairs.append([names.setdefault(name, len(names)) for name in (first, second)])
        same.append(together)
    problems = found(f"lines have another form; {_FORM}", wrong)
    raise_if_any(path, problems + outside([name for name, _ in used], (line for _, line in used)))
    paths = list(names)
    text = f"of {len(paths)} images that it names are missing in {folder}"
    raise_if_any(path, found(text, missing_files(folder, paths)))
    return PairList(paths, np.array(pairs), np.array(same))


def _is_lfw(parts: list[str]) -> bool:
    numbers = {3: (1, 2), 4: (1, 3)}.get(len(parts))
    return numbers is not None and all(parts[at].isdecimal() for at in numbers)


class _LfwFiles:
    """Files of LFW's images; folders are listed once and files not touched."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._listings: dict[str, set[str]] = {}

    def path(self, name: str, number: str) -> str:
        if name not in self._listings:
            folder = os.path.join(self._folder, name)
            self._listings[name] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        stem = f"{name}_{int(number):04d}"
        suffixes = (suffix for suffix in IMAGE_SUFFIXES if stem + suffix in self._listings[name])
        return f"{name}/{stem}{next(suffixes, IMAGE_SUFFIXES[0])}"
