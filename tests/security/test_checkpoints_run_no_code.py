"""No file of weights runs code, whichever command reads it."""

from __future__ import annotations

import pickle

import pytest
import torch
from mmengine.config import Config

from normlib.checkpoint.saving import read_meta
from normlib.openmmlab import commands
from normlib.openmmlab.convert_checkpoint import convert_checkpoint
from normlib.openmmlab.errors import CheckpointError
from normlib.openmmlab.safe_loading import load_file
from tests.security.payloads import Touch, python
from tests.security.trainings import TINY, TRAININGS


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "ran"


def as_torch_saves(content, path):
    torch.save(content, path)


def as_before_torch_1_6(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def as_a_bare_pickle(content, path):
    path.write_bytes(pickle.dumps(content))


READERS = {
    "load_file": lambda path, work_dir: load_file(path),
    "convert_checkpoint": lambda path, work_dir: convert_checkpoint(
        [str(path)], str(work_dir / "out.pth")
    ),
    "test": lambda path, work_dir: commands.evaluate(TINY, str(path), str(work_dir)),
    **TRAININGS,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("write", [as_torch_saves, as_before_torch_1_6, as_a_bare_pickle])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_a_hostile_pickle(reader, write, suffix, mark, tmp_path):
    path = tmp_path / f"model{suffix}"
    write({"state_dict": {"weight": torch.ones(2)}, "meta": Touch(mark)}, path)
    with pytest.raises(CheckpointError, match=rf"model\{suffix}"):
        READERS[reader](path, tmp_path / "work")
    assert read_meta(path) == {}
    assert not mark.exists()


@pytest.mark.parametrize("key", ["config", "cfg"])
def test_a_config_in_a_checkpoint_is_not_run_on_resuming(key, mark, tmp_path):
    commands.train(TINY, str(tmp_path), options={"train_cfg.max_epochs": 1})
    path = tmp_path / "epoch_1.pth"
    checkpoint = load_file(path)
    checkpoint["meta"][key] = python(mark)
    torch.save(checkpoint, path)
    commands.train(TINY, str(tmp_path), resume=str(path))
    assert (tmp_path / "epoch_2.pth").is_file()
    assert not mark.exists()


def test_that_config_would_do_harm(mark):
    Config.fromstring(python(mark), ".py")
    assert mark.exists()
