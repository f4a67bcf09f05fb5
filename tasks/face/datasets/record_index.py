"""Where the records of a RecordIO file begin: read from its `.idx` file, or found by a scan."""

from __future__ import annotations

import mmap
import os
import re
import struct
from array import array

import numpy as np
from mmengine.logging import print_log

from tasks.data_checks import DatasetError

MAGIC = 0xCED7230A
LENGTH_BITS = 29
LENGTH_MASK = (1 << LENGTH_BITS) - 1
WHOLE, FIRST, MIDDLE, LAST = range(4)  # parts of a record whose payload holds the magic word
_HEAD = struct.Struct("<II")
_LINE = re.compile(rb"\d{1,18}\t\d{1,18}")
_ALLOWED = np.zeros(256, bool)
_ALLOWED[list(b"0123456789\t\n")] = True
_PROGRESS = 1_000_000  # records between two lines of the log


def read_index(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Read an `.idx` file: lines of a key, a tab and an offset in bytes.

    Returns:
        Keys, ascending, and offsets, both int64 of shape (records,).

    Raises:
        DatasetError: The file cannot be read, has a line of another form, or names a key or an
            offset twice.
    """
    try:
        with open(path, "rb") as file:
            text = file.read().replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n"
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    if text == b"\n":
        raise DatasetError(f"{path} is empty; it has a line 'KEY<tab>OFFSET' for every record")
    data = np.frombuffer(text, np.uint8)
    separators = data[data < ord("0")]
    tabs, ends = separators[::2], separators[1::2]
    fits = len(tabs) == len(ends) and (tabs == ord("\t")).all() and (ends == ord("\n")).all()
    if not fits or not _ALLOWED[data].all():
        _raise_for_lines(path, text)
    numbers = np.fromstring(text, np.int64, sep=" ")
    if len(numbers) != len(separators):
        _raise_for_lines(path, text)
    keys, offsets = numbers[::2], numbers[1::2]
    if not (np.diff(keys) > 0).all():
        order = np.argsort(keys, kind="stable")
        keys, offsets = keys[order], offsets[order]
    keys, offsets = np.ascontiguousarray(keys), np.ascontiguousarray(offsets)
    _check_distinct(path, keys, offsets)
    return keys, offsets


def _raise_for_lines(path: str, text: bytes) -> None:
    for number, line in enumerate(text[:-1].split(b"\n"), 1):
        if not _LINE.fullmatch(line):
            raise DatasetError(
                f"{path} line {number} is {line[:80].decode('latin-1')!r}, not "
                "'KEY<tab>OFFSET' with two whole numbers from 0"
            )
    raise DatasetError(f"{path} has lines that are not 'KEY<tab>OFFSET'")


def _check_distinct(path: str, keys: np.ndarray, offsets: np.ndarray) -> None:
    again = np.flatnonzero(np.diff(keys) == 0)
    if len(again):
        at = again[0]
        raise DatasetError(
            f"{path} has {len(again)} keys more than once: key {keys[at]} for the offsets "
            f"{offsets[at]} and {offsets[at + 1]}"
        )
    if (np.diff(offsets) > 0).all():
        return
    order = np.argsort(offsets, kind="stable")
    same = np.flatnonzero(np.diff(offsets[order]) == 0)
    if len(same):
        first, second = keys[order[same[0]]], keys[order[same[0] + 1]]
        raise DatasetError(
            f"{path} gives the keys {first} and {second} one offset, "
            f"{offsets[order[same[0]]]}; every record has its own"
        )


def check_offsets(rec: str, size: int, idx: str, keys: np.ndarray, offsets: np.ndarray) -> None:
    """Check that all records may lie within their file, without touching it.

    Args:
        rec: The file of records.
        size: Its size in bytes.
        idx: Its index.
        keys: Ascending.
        offsets: Where the records begin.

    Raises:
        DatasetError: A record would begin beyond the end, or not at a multiple of 4 bytes.
    """
    beyond = np.flatnonzero(offsets > size - _HEAD.size)
    if len(beyond):
        key, offset = keys[beyond[0]], offsets[beyond[0]]
        raise DatasetError(
            f"{idx} names {len(beyond)} records beyond the end of {rec}: key {key} at offset "
            f"{offset}, the file has {size} bytes; it is cut off, or the index is of another file"
        )
    odd = np.flatnonzero(offsets % 4)
    if len(odd):
        raise DatasetError(
            f"{idx} has offsets that are no multiples of 4: key {keys[odd[0]]} at offset "
            f"{offsets[odd[0]]}; the index is of another file than {rec}"
        )


def scan(rec: str, content: mmap.mmap) -> tuple[np.ndarray, np.ndarray]:
    """Find the records of a file without an index; the first gets the key 0, the next 1.

    Raises:
        DatasetError: A record does not begin as it should, or is cut off.
    """
    print_log(f"{rec} has no .idx file beside it: looking for its records, which reads it once",
              "current")  # fmt: skip
    offsets = array("q")
    offset, size = 0, len(content)
    while offset < size:
        offsets.append(offset)
        offset = record_end(rec, content, offset, f"record {len(offsets) - 1}")
        if len(offsets) % _PROGRESS == 0:
            print_log(f"{rec}: {len(offsets):,} records, {100 * offset // size} %", "current")
    print_log(f"{rec}: {len(offsets):,} records", "current")
    return np.arange(len(offsets)), np.frombuffer(offsets, np.int64)


def record_parts(
    rec: str, content: mmap.mmap, offset: int, name: str
) -> list[tuple[int, int, int]]:
    """The parts of a record, almost always one.

    Args:
        rec: The file, for messages.
        content: Its bytes.
        offset: Where the record begins.
        name: What the record is called in messages.

    Returns:
        First byte and end of the payload of each part, and the end of the part with its padding.

    Raises:
        DatasetError: There is no record, or it is cut off.
    """
    parts = []
    begin, expected = offset, (WHOLE, FIRST)
    while True:
        where = f"{rec}: {name} at offset {offset}"
        if begin + _HEAD.size > len(content):
            raise DatasetError(f"{where} is cut off: the file ends at {len(content)}")
        magic, mark = _HEAD.unpack_from(content, begin)
        kind, length = mark >> LENGTH_BITS, mark & LENGTH_MASK
        if magic != MAGIC:
            place = "" if begin == offset else f" in its part at {begin}"
            raise DatasetError(
                f"{where} begins with 0x{magic:08x}{place}, records with 0x{MAGIC:08x}; the file "
                "is damaged, no RecordIO file, or the .idx file is of another one"
            )
        if kind not in expected:
            raise DatasetError(
                f"{where} has a part of kind {kind} at {begin}, expected one of {expected}; the "
                "file is damaged, or the .idx file is of another one"
            )
        first = begin + _HEAD.size
        begin = first + (length + 3) // 4 * 4
        if begin > len(content):
            raise DatasetError(
                f"{where} is cut off: it needs the bytes up to {begin}, the file has {len(content)}"
            )
        parts.append((first, first + length, begin))
        if kind in (WHOLE, LAST):
            return parts
        expected = (MIDDLE, LAST)


def record_end(rec: str, content: mmap.mmap, offset: int, name: str) -> int:
    """Where the record after this one begins.

    Raises:
        DatasetError: See :func:`record_parts`.
    """
    return record_parts(rec, content, offset, name)[-1][2]


def index_beside(rec: str) -> str | None:
    """The `.idx` file beside a `.rec` file, if there is one."""
    path = os.path.splitext(rec)[0] + ".idx"
    return path if os.path.isfile(path) else None
