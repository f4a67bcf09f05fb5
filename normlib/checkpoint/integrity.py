"""Whether a file of weights is whole, by its checksums, and no larger than it looks."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import torch

_BLOCK = 2**20
_HEAD = 64
_ARCHIVE = b"PK\x03\x04"
# Bytes of what ends a zip archive: the last record, and before it, in the 64-bit format, two more.
_END, _LOCATOR, _END_64 = 22, 20, 56
# External attribute of a record of a zip archive.
_FOLDER = 0x10


class DamagedFileError(ValueError):
    """A file is cut short, or not what was written."""


def check_whole(path: Path) -> None:
    """Read a file whole, and compare what it holds with the checksums in it.

    A file of ``torch.save`` is a zip archive, which keeps a CRC-32 of each of its records; of
    safetensors the header tells the length. Older formats of ``torch.save`` carry neither: of them
    it is known only that they are not empty. The directory of a zip archive has no checksum; torch
    has to be able to read it. An archive that unpacks to more than it is is refused unread, see
    :func:`refuse_compressed`.

    Args:
        path: The file. Nothing of it is unpickled.

    Raises:
        DamagedFileError: It is not whole; the message names the file and what is wrong.
        OSError: It cannot be opened.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise DamagedFileError(f"{path} is empty")
        if path.suffix == ".safetensors":
            _check_safetensors(path, size)
            return
        head = file.read(_HEAD)
        if head[:4] != _ARCHIVE and not zipfile.is_zipfile(file):
            if len(head) < _HEAD or not any(head):
                what = "begins with zeros" if len(head) == _HEAD else "is cut short"
                raise DamagedFileError(f"{path} ({size} bytes) {what}")
            return
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_compressed(path, archive)
            for record in archive.infolist():
                _check_record(path, archive, record)
        # Torch's reader looks at parts of the directory that Python's passes over.
        torch._C.PyTorchFileReader(str(path))
    except DamagedFileError:
        raise
    except Exception as error:  # what damage makes the readers raise is open
        reason = str(error).partition(". ")[0]
        raise DamagedFileError(
            f"{path} ({size} bytes) is cut short or damaged: {reason}"
        ) from error


def refuse_compressed(path: Path) -> None:
    """Refuse an archive that unpacks to more than it is; nothing of it is unpacked.

    torch compresses nothing, but reads what is compressed: a small file could fill the memory.

    Args:
        path: Any file; one that is no archive to torch passes.

    Raises:
        DamagedFileError: A record is compressed, records overlap, or torch would read other ones.
        zipfile.BadZipFile: The archive cannot be read.
        OSError: The file cannot be opened.
    """
    with path.open("rb") as file:
        if file.read(len(_ARCHIVE)) != _ARCHIVE:
            return
        with zipfile.ZipFile(file) as archive:
            _refuse_compressed(path, archive)


def _refuse_compressed(path: Path, archive: zipfile.ZipFile) -> None:
    if not _has_one_directory(archive):
        raise DamagedFileError(
            f"{path} is refused: its directory is not the one that its end names; torch.save "
            "writes no such file"
        )
    records = archive.infolist()
    packed = next((record for record in records if record.compress_type), None)
    total, size = sum(record.file_size for record in records), path.stat().st_size
    if packed is not None or total > size:
        what = f"its record {packed.filename} is compressed" if packed else "its records overlap"
        raise DamagedFileError(
            f"{path} is refused: {what}, so that its {size:,} bytes would become {total:,}; "
            "torch.save writes no such file"
        )


def _has_one_directory(archive: zipfile.ZipFile) -> bool:
    """Whether the directory before the end, which Python reads, is the named one, as torch does."""

    def at(place: int, length: int) -> bytes:
        assert archive.fp is not None
        archive.fp.seek(max(place, 0))
        return archive.fp.read(length)

    def number(data: bytes) -> int:
        return int.from_bytes(data, "little")

    assert archive.fp is not None
    end = archive.fp.seek(0, os.SEEK_END) - len(archive.comment) - _END
    record, locator = at(end, _END), at(end - _LOCATOR, _LOCATOR)
    if locator[:4] != b"PK\x06\x07":
        return number(record[16:20]) == archive.start_dir
    # Of the 64-bit format, which torch.save writes.
    place = end - _LOCATOR - _END_64
    record = at(place, _END_64)
    named = number(locator[8:16]) == place and record[:4] == b"PK\x06\x06"
    return named and number(record[48:56]) == archive.start_dir


def _check_record(path: Path, archive: zipfile.ZipFile, record: zipfile.ZipInfo) -> None:
    try:
        with archive.open(record) as data:
            while data.read(_BLOCK):
                pass
    except Exception as error:  # see check_whole
        raise DamagedFileError(
            f"{path} is damaged: its record {record.filename} is not what was written ({error})"
        ) from error
    if record.external_attr & _FOLDER and not record.is_dir():
        raise DamagedFileError(
            f"{path} is damaged: its directory takes the record {record.filename} for a folder"
        )


def _check_safetensors(path: Path, size: int) -> None:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise DamagedFileError(f"{path} ({size} bytes) is cut short: its header is incomplete")
        try:
            header = json.loads(file.read(length))
            ends = [part["data_offsets"][1] for key, part in header.items() if key[:2] != "__"]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise DamagedFileError(f"{path} is damaged: its header cannot be read") from error
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise DamagedFileError(f"{path} has {size} bytes, its header tells of {expected}")
