"""Videos named in a list file, one a line."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tasks.data_checks import DatasetError, found, outside, raise_if_any
from tasks.image_classes import (
    check_same_classes,
    classes_beside,
    encoded,
    file_state,
    last_word,
    list_lines,
    present_files,
)

from .labelled_videos import UNKNOWN, LabelledVideos, check_present, tell_duplicates

_FORM = "lines are not of the form 'PATH LABEL' or 'PATH TOTAL_FRAMES LABEL' with a label from 0"
_DIGITS = 10  # so many are no number of frames and no label
_NO_CSV = "; a CSV file of Kinetics begins with the columns label,youtube_id,time_start,time_end"


@dataclass(frozen=True)
class VideoList:
    """What a list file says.

    Attributes:
        paths: Byte strings of shape (videos,).
        labels: int64 of shape (videos,).
        frames: Numbers of frames, int64 of shape (videos,), `UNKNOWN` where there is none.
        lines: Numbers of the lines, int64 of shape (videos,).
    """

    paths: np.ndarray
    labels: np.ndarray
    frames: np.ndarray
    lines: np.ndarray


def parse_list(path: str) -> VideoList:
    """Read a list file, once for as long as it stays as it is; see :func:`read_video_list`.

    Raises:
        DatasetError: The file is missing or empty, or has a line of another form or with a path
            that leads out of the folder of the videos.
    """
    return _parse(path, file_state(path))


# The config rule and the data set want the lists of training and validation.
@lru_cache(maxsize=4)
def _parse(path: str, state: tuple[int, int]) -> VideoList:
    paths: list[str] = []
    numbers: list[tuple[int, int, int]] = []
    wrong = []
    for number, line in list_lines(path):
        name, label = last_word(line)
        start, frames = last_word(name)
        if not start or not _is_number(frames):
            start, frames = name, str(UNKNOWN)
        if not name or not _is_number(label):
            wrong.append(f"line {number}: {line!r}")
        else:
            paths.append(start.rstrip("/") or start)
            numbers.append((int(label), int(frames), number))
    problems = found(_FORM + _NO_CSV * path.endswith(".csv"), wrong)
    problems += outside(paths, (f"line {number}" for _, _, number in numbers))
    raise_if_any(path, problems)
    if not paths:
        raise DatasetError(f"{path} lists no videos; write a line 'PATH LABEL' for each")
    return VideoList(encoded(paths), *np.array(numbers, np.int64).T.copy())


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < _DIGITS


def class_names(path: str, highest: int) -> tuple[str, ...]:
    """Names of the classes of a list file: those of `classes.txt` beside it, else numbers.

    Args:
        path: The list file.
        highest: Its highest label.
    """
    return classes_beside(path) or tuple(map(str, range(highest + 1)))


def read_video_list(
    path: str,
    folder: str,
    classes: tuple[str, ...] | None = None,
    allow_missing: bool = False,
) -> LabelledVideos:
    """Videos named in a text file of lines `PATH LABEL` or `PATH TOTAL_FRAMES LABEL`.

    These are the lists of videos and of folders of frames that mmaction2 writes. Labels count from
    0 on; a whole number before the label is the number of frames; a path may hold spaces; empty
    lines are skipped. A file `classes.txt` beside it, one name a line, names the classes.

    Args:
        path: The list file.
        folder: What its paths are relative to.
        classes: Names that the classes must have, in this order.
        allow_missing: Leave out videos that are not there.

    Raises:
        DatasetError: The file is missing or empty, has a line of another form or a label out of
            range, or names videos that are not there.
    """
    listed = parse_list(path)
    own = classes_beside(path)
    if own is not None and classes is not None:
        check_same_classes(os.path.join(os.path.dirname(path), "classes.txt"), own, classes)
    names = own or classes or class_names(path, int(listed.labels.max()))
    _check_labels(path, listed, names)
    tell_duplicates(path, listed.paths)
    text = [os.fsdecode(name) for name in listed.paths.tolist()]
    present = np.array(present_files(folder, text))
    missing = [f"line {listed.lines[at]}: {text[at]!r}" for at in np.flatnonzero(~present)]
    check_present(path, folder, present, missing, allow_missing)
    return LabelledVideos(
        folder, listed.paths[present], listed.labels[present], listed.frames[present], names
    )


def _check_labels(path: str, listed: VideoList, names: tuple[str, ...]) -> None:
    text = f"labels are out of range: there are {len(names)} classes, 0 to {len(names) - 1}"
    wrong = [
        f"line {listed.lines[at]}: {os.fsdecode(listed.paths[at])!r} has the label "
        f"{listed.labels[at]}"
        for at in np.flatnonzero(listed.labels >= len(names))
    ]
    raise_if_any(path, found(text, wrong))
