"""The lists of IJB-B and IJB-C, in the form in which face recognition passes them on.

`ijbc_name_5pts_score.txt`: image, ten coordinates of landmarks (x y of each), detector's score.
`ijbc_face_tid_mid.txt`: image, template, media. `ijbc_template_pair_label.txt`: two templates, 1
where they are of one person, else 0. Blanks separate, and every line is whole.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.data_checks import DatasetError, outside, raise_if_any

TARGETS = ("IJBB", "IJBC")
_LANDMARKS = "name_5pts_score"
_TEMPLATES = "face_tid_mid"
_PAIRS = "template_pair_label"


@dataclass(frozen=True)
class FaceList:
    """The images, in their order.

    Attributes:
        names: One an image.
        landmarks: float32 of shape (images, 5, 2): x and y in pixels of the image.
        scores: The detector's, float32 of shape (images,).
    """

    names: list[str]
    landmarks: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class TemplateList:
    """Which images make up which template.

    Attributes:
        names: Of images.
        templates: int64 of shape (lines,).
        media: int64 of shape (lines,); of images of one video the same.
    """

    names: list[str]
    templates: np.ndarray
    media: np.ndarray


@dataclass(frozen=True)
class TemplatePairs:
    """Pairs of templates to compare.

    Attributes:
        templates: int32 of shape (pairs, 2).
        same: bool of shape (pairs,).
    """

    templates: np.ndarray
    same: np.ndarray


def find_target(folder: Path, target: str | None = None) -> str:
    """Which of `TARGETS` a folder of lists is of, where it is not said.

    Raises:
        DatasetError: There are lists of none or of both.
    """
    if target is not None:
        return target
    found = [name for name in TARGETS if (folder / _name(name, _LANDMARKS)).is_file()]
    if len(found) != 1:
        raise DatasetError(
            f"{folder} has lists of {' and '.join(found) or 'neither IJBB nor IJBC'} "
            f"({_name('IJBC', _LANDMARKS)}); say which with --target"
        )
    return found[0]


def read_faces(folder: Path, target: str) -> FaceList:
    """Read the list of images.

    Raises:
        DatasetError: It is missing or empty, or a line is not as it should be, or names an image
            outside the folder of the images.
    """
    path = _path(folder, target, _LANDMARKS)
    names: list[str] = []
    rows = array("f")
    for number, fields in _lines(path, 12, "an image, ten coordinates of landmarks and a score"):
        names.append(fields[0])
        rows.extend(_numbers(path, number, fields[1:]))
    raise_if_any(str(path), outside(names, (f"line {at}" for at in range(1, len(names) + 1))))
    values = np.array(rows).reshape(-1, 11)
    return FaceList(names, values[:, :10].reshape(-1, 5, 2), values[:, 10])


def read_templates(folder: Path, target: str) -> TemplateList:
    """Read which images make up which template.

    Raises:
        DatasetError: It is missing or empty, or a line is not as it should be.
    """
    path = _path(folder, target, _TEMPLATES)
    names: list[str] = []
    numbers = array("q")
    for number, fields in _lines(path, 3, "an image, a template and a media"):
        try:
            numbers.extend((int(fields[1]), int(fields[2])))
        except (ValueError, OverflowError) as error:
            raise DatasetError(
                f"{path}, line {number}: {fields[1]} and {fields[2]} are to be whole numbers, of "
                "a template and of a media"
            ) from error
        names.append(fields[0])
    columns = np.array(numbers).reshape(-1, 2)
    return TemplateList(names, columns[:, 0], columns[:, 1])


def read_pairs(folder: Path, target: str) -> TemplatePairs:
    """Read the pairs of templates.

    Raises:
        DatasetError: It is missing or empty, or a line is not as it should be.
    """
    path = _path(folder, target, _PAIRS)
    what = "a line is two templates and 0 or 1"
    if not path.stat().st_size:
        raise DatasetError(f"{path} is empty; {what}")
    try:
        with path.open(encoding="utf-8") as file:
            rows = np.loadtxt(file, np.int32, comments=None, ndmin=2)
    except (ValueError, OSError) as error:
        raise DatasetError(f"{path}: {error}; {what}") from error
    if rows.shape[1] != 3:
        raise DatasetError(f"{path} has {rows.shape[1]} columns; {what}")
    for line in np.flatnonzero((rows[:, 2] != 0) & (rows[:, 2] != 1)):
        raise DatasetError(
            f"{path}, line {line + 1}: the label of templates {rows[line, 0]} and {rows[line, 1]} "
            f"is {rows[line, 2]}; it is 1 where they are of one person, else 0"
        )
    return TemplatePairs(rows[:, :2], rows[:, 2] == 1)


def _name(target: str, kind: str) -> str:
    return f"{target.lower()}_{kind}.txt"


def _path(folder: Path, target: str, kind: str) -> Path:
    path = folder / _name(target, kind)
    if not path.is_file():
        raise DatasetError(
            f"{path} does not exist; the folder of {target}'s lists has "
            + ", ".join(_name(target, each) for each in (_LANDMARKS, _TEMPLATES, _PAIRS))
        )
    return path


def _lines(path: Path, count: int, what: str) -> Iterator[tuple[int, list[str]]]:
    """The fields of every line, with its number from 1."""
    number = 0
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        for number, line in enumerate(file, 1):
            fields = line.split()
            if len(fields) != count:
                raise DatasetError(
                    f"{path}, line {number} has {len(fields)} fields; a line is {what}"
                )
            yield number, fields
    if not number:
        raise DatasetError(f"{path} is empty; a line is {what}")


def _numbers(path: Path, number: int, fields: list[str]) -> list[float]:
    try:
        values = [float(field) for field in fields]
    except ValueError as error:
        raise DatasetError(f"{path}, line {number}: {error}") from error
    if not all(map(math.isfinite, values)):
        raise DatasetError(f"{path}, line {number}: {' '.join(fields)} are not all finite")
    return values
