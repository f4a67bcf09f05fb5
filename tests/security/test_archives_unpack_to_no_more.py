"""A file of weights that unpacks to more than it is is refused before any of it is unpacked."""

from __future__ import annotations

import copy
import zipfile

import pytest
import torch

from normlib.checkpoint.integrity import DamagedFileError, check_whole
from normlib.checkpoint.saving import read_meta
from normlib.openmmlab.errors import CheckpointError
from normlib.openmmlab.safe_loading import load_file
from tests.security.trainings import TRAININGS

CONTENT = {"meta": {"iter": 1}, "state_dict": {"weight": torch.zeros(1 << 16)}}
# Bytes of the last records of an archive.
END, LOCATOR, END_64 = 22, 20, 56


def as_torch_saves(path):
    torch.save(CONTENT, path)


def compressed(path):
    as_torch_saves(path)
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in records.items():
            kind = zipfile.ZIP_DEFLATED if name.endswith("data.pkl") else zipfile.ZIP_STORED
            archive.writestr(name, data, kind)


def overlapping(path):
    as_torch_saves(path)
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in records.items():
            archive.writestr(name, data)
        largest = max(archive.filelist, key=lambda record: record.file_size)
        for number in range(3):
            again = copy.copy(largest)
            again.filename += str(number)
            archive.filelist.append(again)


def with_another_directory(path):
    """Python reads that one, torch the one of compressed records."""
    _, harmless = two_directories(path)
    content = path.read_bytes()
    path.write_bytes(content[:-END] + harmless + content[-END:])


def with_another_directory_of_64_bits(path):
    (start, length, count), harmless = two_directories(path)
    content = path.read_bytes()[:-END]
    places = (start, len(content) + END_64)
    one, other = (end_64(count, length, place) for place in places)
    locator = b"PK\6\7" + bytes(4) + number(len(content), 8) + number(1, 4)
    end = b"PK\5\6" + bytes(4) + b"\xff" * 12 + bytes(2)
    path.write_bytes(content + one + harmless + other + locator + end)


def two_directories(path):
    """Make a compressed archive; its directory, and one of the same records that is harmless."""
    small = path.with_name("small.zip")
    compressed(path)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(small, "w") as other:
        for name in archive.namelist():
            other.writestr(name, b"")
        count, start = len(archive.namelist()), archive.start_dir
    harmless = small.read_bytes()[other.start_dir : -END]
    small.unlink()
    return (start, len(harmless), count), harmless


def end_64(count, length, place):
    versions = number(END_64 - 12, 8) + number(45, 2) * 2 + bytes(8)
    return b"PK\6\6" + versions + b"".join(number(n, 8) for n in (count, count, length, place))


def number(value, length):
    return value.to_bytes(length, "little")


WAYS = {
    compressed: "is compressed",
    overlapping: "its records overlap",
    with_another_directory: "its directory is not the one that its end names",
    with_another_directory_of_64_bits: "its directory is not the one that its end names",
}


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def bomb(request, tmp_path):
    """A file that torch reads, and what is wrong with it."""
    path = tmp_path / "bomb.pth"
    request.param(path)
    assert torch.load(path, weights_only=True)["meta"] == CONTENT["meta"]
    return path, rf"bomb\.pth is refused: .*{WAYS[request.param]}"


def test_by_all_that_read_weights(bomb):
    path, problem = bomb
    assert read_meta(path) == {}
    with pytest.raises(DamagedFileError, match=problem):
        check_whole(path)
    with pytest.raises(CheckpointError, match=problem):
        load_file(path)


@pytest.mark.parametrize("command", TRAININGS)
def test_by_all_commands(command, tmp_path):
    path = tmp_path / "bomb.pth"
    compressed(path)
    with pytest.raises(CheckpointError, match=r"bomb\.pth is refused: .*is compressed"):
        TRAININGS[command](path, tmp_path / "work")


def test_what_torch_saves_is_read(tmp_path):
    path = tmp_path / "weights.pth"
    as_torch_saves(path)
    check_whole(path)
    assert read_meta(path) == CONTENT["meta"]
