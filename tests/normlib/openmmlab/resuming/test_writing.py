"""Checkpoints whose writing fails half-way."""

from __future__ import annotations

import errno
import resource
import signal
from pathlib import Path

import pytest
import torch

from normlib.openmmlab.errors import TrainingError
from normlib.openmmlab.resuming.writing import write_whole

OLD, NEW = {"state_dict": {"w": torch.zeros(9)}}, {"state_dict": {"w": torch.ones(100_000)}}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "epoch_1.pth"
    write_whole(OLD, path)
    return path


def is_old(path):
    alone = [entry.name for entry in path.parent.iterdir()] == [path.name]
    return alone and not torch.load(path)["state_dict"]["w"].any()


def test_takes_the_place_of_the_old_one(path):
    write_whole(NEW, path)
    assert torch.load(path)["state_dict"]["w"].all()


def test_a_full_disk(path, monkeypatch):
    def save(_, file):
        Path(file).write_bytes(b"PK\3\4" + bytes(1000))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(TrainingError, match=r"epoch_1.pth cannot be written: .*No space left") as e:
        write_whole(NEW, path)
    assert "MiB free in" in str(e.value)
    assert is_old(path)


def test_a_file_that_may_not_grow(path):
    """What a disk quota does, to the writer of torch itself."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(TrainingError, match=r"epoch_1.pth cannot be written"):
            write_whole(NEW, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert is_old(path)


def test_a_disk_that_gives_back_something_else(path, monkeypatch):
    save = torch.save

    def damaged(state, file):
        save(state, file)
        content = bytearray(Path(file).read_bytes())
        content[len(content) // 2] ^= 1
        Path(file).write_bytes(content)

    monkeypatch.setattr(torch, "save", damaged)
    with pytest.raises(TrainingError, match=r"is not what was written"):
        write_whole(NEW, path)
    assert is_old(path)


def test_what_could_not_be_loaded_again_is_not_written(path):
    with pytest.raises(TrainingError, match=r"could not be loaded again.*PosixPath"):
        write_whole({"meta": {"where": Path("x")}}, path)
    assert is_old(path)
