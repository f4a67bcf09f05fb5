"""Videos named in a CSV file of Kinetics."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tasks.data_checks import DatasetError, found, leads_out, raise_if_any
from tasks.image_classes import encoded, file_state

from .class_folders import VIDEO_SUFFIXES
from .labelled_videos import UNKNOWN, LabelledVideos, check_present, tell_duplicates

_ID, _START, _END, _LABEL = "youtube_id", "time_start", "time_end", "label"
_COLUMNS = (_LABEL, _ID, _START, _END)


@dataclass(frozen=True)
class KineticsCsv:
    """What a CSV file of Kinetics says.

    Attributes:
        stems: Names of the files without their suffixes, byte strings of shape (videos,).
        labels: Indices into `classes`, int64 of shape (videos,).
        classes: Names of the classes that occur, in alphabetical order.
        lines: Numbers of the lines, int64 of shape (videos,).
    """

    stems: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    lines: np.ndarray


def is_kinetics_csv(path: str) -> bool:
    """Whether a file begins with the line of columns that CSV files of Kinetics have.

    Raises:
        DatasetError: It cannot be read.
    """
    file_state(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return _ID in _columns(next(csv.reader(file), []))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"list file {path} cannot be read: {error}") from error


def parse_csv(path: str) -> KineticsCsv:
    """Read a CSV file, once for as long as it stays as it is; see :func:`read_kinetics_csv`.

    Raises:
        DatasetError: The file is missing or empty, lacks a column, or has a wrong line.
    """
    return _parse(path, file_state(path))


# The config rule and the data set want the lists of training and validation.
@lru_cache(maxsize=4)
def _parse(path: str, state: tuple[int, int]) -> KineticsCsv:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            columns = _columns(next(reader, []))
            rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"list file {path} cannot be read: {error}") from error
    _check_columns(path, columns)
    if not rows:
        raise DatasetError(f"{path} lists no videos below its line of columns")
    places = [columns.index(name) for name in _COLUMNS]
    stems: list[str] = []
    names: list[str] = []
    lines: list[int] = []
    wrong, unlabelled, escaping = [], [], []
    for number, row in rows:
        fields = [row[at].strip() if at < len(row) else "" for at in places]
        stem = _stem(*fields[1:])
        if stem is None:
            wrong.append(f"line {number}: {','.join(row)!r}")
        elif not fields[0]:
            unlabelled.append(f"line {number}: {','.join(row)!r}")
        elif leads_out(f"{fields[0]}/{stem}") or leads_out(stem) or "/" in stem:
            escaping.append(f"line {number}: {','.join(row)!r}")
        else:
            stems.append(stem)
            names.append(fields[0])
            lines.append(number)
    text = "lines have not a youtube_id and a time_start and time_end in seconds"
    without = "lines have no label, as in test lists; name a list of training or validation"
    paths = "lines have a youtube_id or label that names other folders (by /, .., \\ or a first ~)"
    problems = [*found(text, wrong), *found(without, unlabelled), *found(paths, escaping)]
    raise_if_any(path, problems)
    classes = tuple(sorted(set(names)))
    indices = {name: index for index, name in enumerate(classes)}
    labels = np.array([indices[name] for name in names])
    return KineticsCsv(encoded(stems), labels, classes, np.array(lines))


def read_kinetics_csv(
    path: str,
    folder: str,
    classes: tuple[str, ...] | None = None,
    allow_missing: bool = False,
) -> LabelledVideos:
    """Videos named in a CSV file of Kinetics.

    Its first line names the columns: label, youtube_id, time_start and time_end in seconds, and
    others, which are not read. A video is the file `ID_SSSSSS_EEEEEE` with start and end in six
    digits and any suffix of videos, or a folder of frames of that name; it lies in the folder of
    the videos or in a folder of its label there, with spaces or underscores.

    Args:
        path: The CSV file.
        folder: The folder of the videos.
        classes: Names of the classes in their order, those of the training data; without them,
            the labels of this file in alphabetical order.
        allow_missing: Leave out videos that are not there.

    Raises:
        DatasetError: The file is missing or empty, lacks a column, has a wrong line or a label that
            is no class, or names videos that are not there.
    """
    listed = parse_csv(path)
    names = classes if classes is not None else listed.classes
    indices = {name: index for index, name in enumerate(names)}
    own = np.array([indices.get(name, UNKNOWN) for name in listed.classes])
    labels = own[listed.labels]
    wrong = [
        f"line {listed.lines[at]}: {listed.classes[listed.labels[at]]!r}"
        for at in np.flatnonzero(labels == UNKNOWN)
    ]
    raise_if_any(path, found(f"labels are none of the {len(names)} classes", wrong))
    tell_duplicates(path, listed.stems)
    places = _Places(folder)
    stems = [os.fsdecode(stem) for stem in listed.stems.tolist()]
    paths = [
        places.find(listed.classes[label], stem)
        for label, stem in zip(listed.labels.tolist(), stems, strict=True)
    ]
    present = np.array([name is not None for name in paths])
    missing = [f"line {listed.lines[at]}: {stems[at]!r}" for at in np.flatnonzero(~present)]
    check_present(path, folder, present, missing, allow_missing)
    here = encoded([name for name in paths if name is not None])
    frames = np.full(len(here), UNKNOWN)
    return LabelledVideos(folder, here, labels[present], frames, names)


class _Places:
    """What lies in the folder of the videos and in those of the labels, each listed once."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.listings: dict[str, set[str]] = {}

    def find(self, label: str, stem: str) -> str | None:
        """Path of a video, relative to the folder."""
        for inner in ("", label, label.replace(" ", "_")):
            names = self._listing(inner)
            for suffix in (*VIDEO_SUFFIXES, ""):
                if stem + suffix in names:
                    return os.path.join(inner, stem + suffix)
        return None

    def _listing(self, inner: str) -> set[str]:
        if inner not in self.listings:
            path = os.path.join(self.folder, inner)
            self.listings[inner] = set(os.listdir(path)) if os.path.isdir(path) else set()
        return self.listings[inner]


def _columns(row: Sequence[str]) -> list[str]:
    return [name.strip().lower() for name in row]


def _check_columns(path: str, columns: Sequence[str]) -> None:
    absent = [name for name in _COLUMNS if name not in columns]
    if absent == [_LABEL]:
        raise DatasetError(
            f"{path} has no column {_LABEL!r}: test lists of Kinetics have no labels; name a list "
            "of training or validation"
        )
    if absent:
        raise DatasetError(
            f"{path} has the columns {list(columns)}, but lacks {absent}; the first line of a CSV "
            f"file of Kinetics is {','.join(_COLUMNS)},split"
        )


def _stem(name: str, start: str, end: str) -> str | None:
    """Name of a file without its suffix; None where a field is wrong."""
    try:
        seconds = int(float(start)), int(float(end))
    except (ValueError, OverflowError):
        return None
    if not name or min(seconds) < 0:
        return None
    return f"{name}_{seconds[0]:06d}_{seconds[1]:06d}"
