"""Files of weights that are cut short or changed anywhere."""

from __future__ import annotations

import random
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from normlib.checkpoint.integrity import DamagedFileError, check_whole

STATE = {"weight": torch.randn(40, 30), "bias": torch.arange(7)}


@pytest.fixture(params=["whole.pth", "whole.safetensors"])
def path(request, tmp_path):
    path = tmp_path / request.param
    if path.suffix == ".pth":
        torch.save({"state_dict": STATE, "meta": {"iter": 3}}, path)
    else:
        save_file(STATE, path)
    return path


def test_whole_files_pass(path):
    check_whole(path)


def test_a_file_cut_anywhere_is_named(path):
    content = path.read_bytes()
    for length in {0, 1, 8, 100, len(content) // 2, len(content) - 1}:
        path.write_bytes(content[:length])
        with pytest.raises(DamagedFileError, match=path.name):
            check_whole(path)


def test_a_change_in_any_record_is_found(tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save({"state_dict": STATE}, path)
    content, weight = path.read_bytes(), STATE["weight"].numpy().tobytes()
    start = content.index(weight)
    for place in random.Random(0).sample(range(start, start + len(weight)), 20):
        changed = bytearray(content)
        changed[place] ^= 0x10
        path.write_bytes(changed)
        with pytest.raises(DamagedFileError, match=r"its record checkpoint/data/0 is not what"):
            check_whole(path)


@pytest.mark.parametrize("flip", [0x01, 0x10, 0xFF], ids=hex)
def test_a_change_in_any_byte_outside_the_records(flip, tmp_path):
    """In heads and directory, which have no checksums: it is found, or changes nothing."""
    path = tmp_path / "checkpoint.pth"
    torch.save({"weight": torch.arange(3), "meta": {"iter": 3}}, path)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        inside = {place for record in archive.infolist() for place in places_in(content, record)}
    for place in sorted(set(range(len(content))) - inside):
        changed = bytearray(content)
        changed[place] ^= flip
        path.write_bytes(changed)
        try:
            check_whole(path)
        except DamagedFileError:
            continue
        loaded = torch.load(path, weights_only=True)
        assert loaded["weight"].tolist() == [0, 1, 2]
        assert loaded["meta"] == {"iter": 3}


def places_in(content, record):
    """Where the bytes of a record of an archive are."""
    head = record.header_offset
    lengths = (int.from_bytes(content[head + at : head + at + 2], "little") for at in (26, 28))
    start = head + 30 + sum(lengths)
    return range(start, start + record.file_size)


def test_a_record_that_is_not_where_the_directory_says(tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save(STATE, path)
    content = path.read_bytes()
    path.write_bytes(content[:64] + bytes(64) + content[64:])
    with pytest.raises(DamagedFileError):
        check_whole(path)


def test_zeros_which_a_crash_leaves(tmp_path):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(bytes(5000))
    with pytest.raises(DamagedFileError, match="begins with zeros"):
        check_whole(path)


def test_the_older_format_has_no_checksum(tmp_path):
    path = tmp_path / "old.pth"
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    check_whole(path)


def test_a_missing_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        check_whole(tmp_path / "none.pth")
