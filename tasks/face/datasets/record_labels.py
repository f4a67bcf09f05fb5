"""Which records are images, and of whom.

In files of faces as MS1MV2's (`faces_emore`) the record 0 is no image: its labels are the key of
the first identity's record and the key after the last one's. The keys from 1 to the first of these
are images; the record of an identity has the keys of its first image and of the one after its last
as labels. In other files every record is an image. The first label of an image is its class.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
from mmengine.logging import print_log

from tasks.data_checks import DatasetError
from tasks.face.transforms.decoding import IMAGE_SIZE

from .record_headers import read_headers
from .recordio import RecordFile

_EXACT = 2**24  # from here on float32 cannot tell all whole numbers apart


class ImageRecords(NamedTuple):
    """The images of a file of records.

    Attributes:
        positions: Indices of their keys in the file's `keys`, int64 of shape (images,).
        labels: Their classes, int64 of shape (images,).
    """

    positions: np.ndarray
    labels: np.ndarray


def read_image_records(file: RecordFile) -> ImageRecords:
    """Find the images of a file, and their classes.

    Where the file has records of identities, the class is read from the first image of each.

    Raises:
        DatasetError: A record is damaged, a label is no whole number from 0, or the records of
            identities do not fit the images.
    """
    identities = identity_keys(file)
    if identities is None:
        headers = read_headers(file, np.arange(len(file)))
        positions = np.flatnonzero(headers.filled)
        labels = _whole(file, positions, headers.labels[positions, 0])
    else:
        positions, labels = _by_identity(file, *identities)
    if not len(positions):
        raise DatasetError(f"{file.path} holds no images, {len(file)} records without content")
    return ImageRecords(positions, labels)


def image_positions(file: RecordFile) -> np.ndarray:
    """Indices of the keys of all images in the file's `keys`, int64 of shape (images,)."""
    identities = identity_keys(file)
    if identities is None:
        return np.flatnonzero(read_headers(file, np.arange(len(file))).filled)
    return np.flatnonzero((file.keys > 0) & (file.keys < identities[0]))


def identity_keys(file: RecordFile) -> tuple[int, int] | None:
    """First key of the records of identities and the key after the last one; None without any.

    None as well where keys are too large for labels to hold them.

    Raises:
        DatasetError: The record 0 names keys that the file does not have.
    """
    if file.keys[0] != 0:
        return None
    head = file.read(0)
    if len(head.content) or len(head.labels) < 2:
        return None
    if file.keys[-1] >= _EXACT:
        print_log(
            f"{file.path} has more records than the labels of its identities can number: reading "
            "the label of every image",
            "current",
        )
        return None
    first, end = (float(label) for label in head.labels[:2])
    if not 1 <= first <= end <= file.keys[-1] + 1 or first % 1 or end % 1:
        raise DatasetError(
            f"{file.path}: record 0 says that the identities have the keys {first:g} to {end:g} "
            f"(not included), the file has the keys {file.keys[0]} to {file.keys[-1]}; the file "
            "or its index is cut off"
        )
    return int(first), int(end)


def _by_identity(file: RecordFile, first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    positions = np.flatnonzero((file.keys > 0) & (file.keys < first))
    keys = file.keys[positions]
    identities = np.flatnonzero((file.keys >= first) & (file.keys < end))
    ranges = read_headers(file, identities).labels.astype(np.float64)
    names = file.keys[identities]
    with np.errstate(invalid="ignore"):
        sound = (ranges[:, 0] >= 1) & (ranges[:, 0] <= ranges[:, 1]) & (ranges[:, 1] <= first)
        sound &= (ranges % 1 == 0).all(axis=1)
    if not sound.all():
        at = int(np.argmin(sound))
        raise DatasetError(
            f"{file.path}: record {names[at]} at offset {file.offsets[identities[at]]} gives an "
            f"identity the images {ranges[at, 0]:g} to {ranges[at, 1]:g} (not included), the keys "
            f"of images are 1 to {first - 1}"
        )
    order = np.argsort(ranges[:, 0], kind="stable")
    filled = order[ranges[order, 0] < ranges[order, 1]]
    begins, ends = (ranges[filled, column].astype(np.int64) for column in (0, 1))
    shared = np.flatnonzero(begins[1:] < ends[:-1])
    if len(shared):
        one, other = (names[filled[shared[0] + step]] for step in (0, 1))
        raise DatasetError(
            f"{file.path}: the records {one} and {other} give the image {begins[shared[0] + 1]} to "
            "two identities"
        )
    begin_at, end_at = np.searchsorted(keys, begins), np.searchsorted(keys, ends)
    present = begin_at < end_at
    begin_at, end_at = begin_at[present], end_at[present]
    labels = np.full(len(keys), -1)
    classes = read_headers(file, positions[begin_at]).labels[:, 0]
    classes = _whole(file, positions[begin_at], classes)
    sizes = end_at - begin_at
    inside = np.repeat(end_at - sizes.cumsum(), sizes) + np.arange(sizes.sum())
    labels[inside] = np.repeat(classes, sizes)
    outside = np.flatnonzero(labels < 0)
    if len(outside):
        print_log(f"{file.path}: {len(outside):,} images belong to no record of an identity; their "
                  "own labels count", "current")  # fmt: skip
        own = read_headers(file, positions[outside]).labels[:, 0]
        labels[outside] = _whole(file, positions[outside], own)
    return positions, labels


def _whole(file: RecordFile, positions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        sound = np.isfinite(labels) & (labels >= 0) & (labels % 1 == 0) & (labels < _EXACT)
    if not sound.all():
        at = int(np.argmin(sound))
        raise DatasetError(
            f"{describe(file, positions[at])} has the label {labels[at]:g} "
            f"({int((~sound).sum())} of {len(labels)} labels like it); labels are whole numbers "
            "that count the identities from 0"
        )
    return labels.astype(np.int64)


def describe(file: RecordFile, position: int) -> str:
    """A record for messages: file, key and offset."""
    return f"{file.path}: record {file.keys[position]} at offset {file.offsets[position]}"


def read_property(rec: str) -> int | None:
    """Number of classes from the file `property` beside a file of records: `NUM,HEIGHT,WIDTH`.

    Returns:
        None where there is no such file.

    Raises:
        DatasetError: It has another form, or another size of the images than 112 x 112.
    """
    path = os.path.join(os.path.dirname(rec), "property")
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read().strip()
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(part.isdecimal() for part in parts) or int(parts[0]) < 1:
        raise DatasetError(
            f"{path} holds {text[:80]!r}, not 'NUM,HEIGHT,WIDTH' with the number of identities "
            "and the size of the images, as in '85742,112,112'"
        )
    count, height, width = map(int, parts)
    if (width, height) != IMAGE_SIZE:
        raise DatasetError(
            f"{path} says that images are {width} x {height}, images of faces are "
            f"{IMAGE_SIZE[0]} x {IMAGE_SIZE[1]}; align the faces and crop them first"
        )
    return count
