"""MXNet's RecordIO: many encoded images in one file, each with its labels, found by a key.

A record is the magic word, a word with the kind of the part (3 bits) and its length (29 bits), the
payload, and zeros up to a multiple of 4 bytes, all little-endian. The payload is a header (flag,
label, id, second id), `flag` labels, and an encoded image. Where the payload has the magic word at
a multiple of 4 bytes, the record is written in parts without it. Described in MXNet's "Data IO" and
in `dmlc/recordio.h` of dmlc-core.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from array import array
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from mmengine.logging import print_log

from normlib.checkpoint.saving import replacing
from tasks.data_checks import DatasetError

from .record_index import (
    FIRST,
    LAST,
    LENGTH_BITS,
    LENGTH_MASK,
    MAGIC,
    MIDDLE,
    WHOLE,
    check_offsets,
    index_beside,
    read_index,
    record_end,
    record_parts,
    scan,
)

_HEADER = struct.Struct("<IfQQ")
_START = struct.Struct("<III")  # magic word, kind and length, flag
_MAGIC_BYTES = struct.pack("<I", MAGIC)
_MAGIC_PATTERN = re.compile(re.escape(_MAGIC_BYTES))
HEADER_SIZE = _HEADER.size


class Record(NamedTuple):
    """One record.

    Attributes:
        labels: float32 of shape (labels,).
        id: As the writer of the file has numbered it.
        content: The encoded image; empty for records that describe others. uint8 of shape (bytes,).
    """

    labels: np.ndarray
    id: int
    content: np.ndarray


class RecordFile:
    """Reads records by key. The file is mapped into memory, which forked workers share.

    Pickled, it takes along the index and the name of the file, which is then opened again.

    Args:
        rec: The file of records.
        idx: Its index, lines of key, tab and offset. Without one the file of that name beside it
            (`train.idx` for `train.rec`) is taken; where there is none, the file is read once to
            find the records, whose keys then count from 0.

    Attributes:
        path: The file of records.
        keys: Keys of all records, ascending, int64 of shape (records,).
        offsets: Where they begin, in bytes, int64 of shape (records,).

    Raises:
        DatasetError: A file is missing, is not of its form, or both do not belong together.
    """

    def __init__(self, rec: str | os.PathLike, idx: str | os.PathLike | None = None) -> None:
        self.path = os.fspath(rec)
        self._open()
        index = os.fspath(idx) if idx else index_beside(self.path)
        if index is None:
            self.keys, self.offsets = scan(self.path, self._map)
            return
        self.keys, self.offsets = read_index(index)
        check_offsets(self.path, self._size, index, self.keys, self.offsets)
        last = int(self.offsets.argmax())
        end = record_end(self.path, self._map, int(self.offsets[last]), self._name(last))
        if end < self._size:
            print_log(
                f"{self.path} goes on for {self._size - end} bytes after the last record that "
                f"{index} names: is the index of this file?",
                "current",
                30,
            )

    def __len__(self) -> int:
        return len(self.keys)

    def position(self, key: int) -> int:
        """Index of a key in `keys`.

        Raises:
            DatasetError: There is no such record.
        """
        position = int(np.searchsorted(self.keys, key))
        if position == len(self.keys) or self.keys[position] != key:
            raise DatasetError(
                f"{self.path} has no record with the key {key}; it has {len(self)} records, keys "
                f"{self.keys[0]} to {self.keys[-1]}"
            )
        return position

    def read(self, key: int) -> Record:
        """Read a record whole.

        Raises:
            DatasetError: There is no such record, or it is damaged.
        """
        position = self.position(key)
        payload = self._payload(position)
        if len(payload) < HEADER_SIZE:
            raise self._damaged(position, f"holds {len(payload)} bytes, fewer than its header has")
        flag, label, number, _ = _HEADER.unpack_from(payload)
        begin = HEADER_SIZE + 4 * flag
        if begin > len(payload):
            raise self._damaged(position, f"names {flag} labels, but has {len(payload)} bytes")
        labels = payload[HEADER_SIZE:begin].view("<f4") if flag else np.array([label], np.float32)
        return Record(labels, number, payload[begin:])

    def content(self, position: int) -> np.ndarray:
        """The encoded image of a record, without its labels: a view of the file.

        Args:
            position: Index of its key in `keys`.

        Returns:
            uint8 of shape (bytes,), read-only.

        Raises:
            DatasetError: The record is damaged.
        """
        offset = int(self.offsets[position])
        if offset + _START.size <= self._size:
            magic, mark, flag = _START.unpack_from(self._map, offset)
            begin = offset + 8 + HEADER_SIZE + 4 * flag
            end = offset + 8 + mark
            # A mark within the length has no bits of a kind: a whole record.
            if magic == MAGIC and mark <= LENGTH_MASK and begin <= end <= self._size:
                return self._bytes[begin:end]
        return self.read(self.keys.item(position)).content

    def words(self) -> np.ndarray:
        """The whole file as little-endian uint32, a view of it."""
        return self._bytes[: self._size // 4 * 4].view("<u4")

    def _payload(self, position: int) -> np.ndarray:
        name, offset = self._name(position), self.offsets.item(position)
        parts = record_parts(self.path, self._map, offset, name)
        if len(parts) == 1:
            return self._bytes[parts[0][0] : parts[0][1]]
        joined = _MAGIC_BYTES.join(self._map[begin:end] for begin, end, _ in parts)
        return np.frombuffer(joined, np.uint8)

    def _name(self, position: int) -> str:
        return f"record {self.keys[position]}"

    def _damaged(self, position: int, text: str) -> DatasetError:
        return DatasetError(
            f"{self.path}: {self._name(position)} at offset {self.offsets[position]} {text}; the "
            "file is damaged"
        )

    def _open(self) -> None:
        try:
            with open(self.path, "rb") as file:
                self._size = os.fstat(file.fileno()).st_size
                if not self._size:
                    raise DatasetError(f"{self.path} is empty")
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise DatasetError(f"{self.path} cannot be read: {error}") from error
        self._bytes = np.frombuffer(self._map, np.uint8)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in ("_map", "_bytes")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        size = self._size
        self._open()
        if self._size != size:
            raise DatasetError(
                f"{self.path} has {self._size} bytes, {size} when it was opened first; the file "
                "has been changed"
            )


class RecordWriter:
    """Writes a file of records and its index, both whole or not at all.

    A context manager: the files are in their places when its block ends without an error.

    Args:
        rec: The file of records to write; replaced where it exists.
        idx: Its index; without one the file of that name beside it.
    """

    def __init__(self, rec: str | os.PathLike, idx: str | os.PathLike | None = None) -> None:
        self._rec = Path(rec)
        self._idx = Path(idx) if idx else self._rec.with_suffix(".idx")
        self._files = ExitStack()

    def __enter__(self) -> RecordWriter:
        with ExitStack() as files:
            # Closed in the opposite order: the files are complete when they are renamed.
            paths = [files.enter_context(replacing(path)) for path in (self._idx, self._rec)]
            idx, rec = (files.enter_context(open(path, "wb")) for path in paths)
            self._index: BinaryIO = idx
            self._records: BinaryIO = rec
            self._keys = array("q")
            self._highest = -1
            self._files = files.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.__exit__(kind, error, trace)

    def write(self, key: int, label: float | Sequence[float], payload: bytes) -> None:
        """Write a record.

        Args:
            key: Its key, which is its id as well.
            label: One label, or several.
            payload: The encoded image; may be empty.

        Raises:
            ValueError: The key is negative or was written before, or the image is too large.
        """
        if key < 0 or (key <= self._highest and key in self._keys):
            state = "is negative" if key < 0 else "was written before"
            raise ValueError(f"the key {key} of a record for {self._rec} {state}")
        several = isinstance(label, (Sequence, np.ndarray))
        labels = np.asarray(label if several else [], "<f4")
        header = _HEADER.pack(len(labels), 0.0 if several else float(label), key, 0)
        record = header + labels.tobytes() + bytes(payload)
        if len(record) > LENGTH_MASK:
            raise ValueError(
                f"record {key} for {self._rec} has {len(record)} bytes, more than {LENGTH_MASK}"
            )
        self._keys.append(key)
        self._highest = max(self._highest, key)
        self._index.write(f"{key}\t{self._records.tell()}\n".encode())
        self._records.write(_framed(record))


def _framed(payload: bytes) -> bytes:
    """A payload as a record, in parts where it has the magic word at a multiple of 4 bytes."""
    found = [match.start() for match in _MAGIC_PATTERN.finditer(payload)]
    cuts = [at for at in found if at % 4 == 0]
    begins = [0, *(at + 4 for at in cuts)]
    ends = [*cuts, len(payload)]
    kinds = [FIRST, *[MIDDLE] * (len(cuts) - 1), LAST] if cuts else [WHOLE]
    parts = []
    for kind, begin, end in zip(kinds, begins, ends, strict=True):
        mark = kind << LENGTH_BITS | (end - begin)
        parts += [_MAGIC_BYTES, struct.pack("<I", mark), payload[begin:end]]
    return b"".join(parts) + b"\0" * (-len(payload) % 4)
