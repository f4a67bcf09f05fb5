"""The headers of many records at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from mmengine.logging import print_log

from tasks.data_checks import DatasetError

from .record_index import LENGTH_BITS, LENGTH_MASK, MAGIC, MIDDLE, WHOLE
from .recordio import HEADER_SIZE, RecordFile

_CHUNK = 200_000  # records
_LABELS = 2  # the first ones are read
# Words from the beginning of a record: magic word, kind and length, then the header (flag, label,
# two ids of two words each) and the labels.
_MARK, _FLAG, _LABEL, _FIRST_LABEL = 1, 2, 3, 8


class RecordHeaders(NamedTuple):
    """Headers of records.

    Attributes:
        labels: The first two labels; not a number where there are fewer. float32 of shape
            (records, 2).
        filled: Whether an image follows the labels, bool of shape (records,).
    """

    labels: np.ndarray
    filled: np.ndarray


def read_headers(file: RecordFile, positions: np.ndarray) -> RecordHeaders:
    """Read the headers of records, without a loop over them.

    Args:
        file: Their file.
        positions: Indices of their keys in `file.keys`.

    Raises:
        DatasetError: A record is damaged.
    """
    labels = np.full((len(positions), _LABELS), np.nan, np.float32)
    filled = np.zeros(len(positions), bool)
    for begin in range(0, len(positions), _CHUNK):
        if begin:
            print_log(f"{file.path}: {begin:,} of {len(positions):,} labels read", "current")
        part = slice(begin, begin + _CHUNK)
        labels[part], filled[part] = _read(file, positions[part])
    return RecordHeaders(labels, filled)


def _read(file: RecordFile, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    words = file.words()
    begins = file.offsets[positions] // 4

    def word(number: int) -> np.ndarray:
        # A record without labels at the end of the file has fewer words; they are not used.
        return words[np.minimum(begins + number, len(words) - 1)]

    mark, flag = word(_MARK), word(_FLAG)
    kind, length = mark >> LENGTH_BITS, mark & LENGTH_MASK
    needed = HEADER_SIZE + 4 * flag.astype(np.int64)
    end = file.offsets[positions] + 8 + length
    sound = (words[begins] == MAGIC) & (kind < MIDDLE) & (end <= 4 * len(words))
    sound &= (length >= needed) | (kind != WHOLE)
    if not sound.all():
        key = int(file.keys[positions[np.argmin(sound)]])
        file.read(key)  # says what is wrong
        raise DatasetError(f"{file.path}: record {key} is damaged")
    labels = np.full((len(positions), _LABELS), np.nan, np.float32)
    labels[:, 0] = word(_LABEL).view("<f4")
    for number in range(_LABELS):
        known = flag > number
        labels[known, number] = word(_FIRST_LABEL + number).view("<f4")[known]
    filled = (kind != WHOLE) | (length > needed)
    for at in np.flatnonzero((kind != WHOLE) & (length < HEADER_SIZE + 4 * _LABELS)):
        record = file.read(int(file.keys[positions[at]]))  # the header itself is in parts
        labels[at] = np.nan
        labels[at, : len(record.labels)] = record.labels[:_LABELS]
        filled[at] = len(record.content) > 0
    return labels, filled
