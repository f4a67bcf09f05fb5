"""Which checkpoint of a work directory a run goes on from."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest
import torch

from normlib.openmmlab import commands
from normlib.openmmlab.errors import CheckpointError
from normlib.openmmlab.resuming.choice import check_named, choose, newest_whole

TINY = Path(__file__).parents[3] / "tiny" / "config.py"
LOGGER = logging.getLogger("test_choice")


def save(path, iteration, **meta):
    torch.save({"meta": {"iter": iteration, **meta}, "state_dict": {"w": torch.ones(99)}}, path)


@pytest.fixture
def folder(tmp_path):
    """Three epochs, of which last_checkpoint names the third."""
    for epoch in (1, 2, 3):
        save(tmp_path / f"epoch_{epoch}.pth", 10 * epoch)
    save(tmp_path / "best_accuracy_epoch_1.pth", 99)
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_3.pth"))
    return tmp_path


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def auto(folder):
    return choose(str(folder), "auto", None, LOGGER)


def test_the_newest(folder):
    assert auto(folder) == str(folder / "epoch_3.pth")
    assert choose(str(folder), True, None, LOGGER) == auto(folder)


def test_none_without_resume(folder):
    assert choose(str(folder), False, "weights.pth", LOGGER) is None


def test_an_empty_folder_is_a_start(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        assert auto(tmp_path) is None
        assert auto(tmp_path / "absent") is None
    assert "training begins at the start" in caplog.text


def test_the_one_before_a_damaged_one(folder, caplog):
    cut(folder / "epoch_3.pth")
    assert auto(folder) == str(folder / "epoch_2.pth")
    assert f"{folder / 'epoch_3.pth'} (" in caplog.text
    assert "cut short or damaged" in caplog.text
    cut(folder / "epoch_2.pth")
    assert auto(folder) == str(folder / "epoch_1.pth")


@pytest.mark.parametrize("damage", ["no iteration", "not readable"])
def test_the_one_before_one_that_cannot_be_loaded(damage, folder, caplog):
    if damage == "no iteration":
        torch.save({"state_dict": {}}, folder / "epoch_3.pth")
    else:
        (folder / "epoch_3.pth").write_bytes(b"whole by its checksums, as it has none. " * 9)
    assert auto(folder) == str(folder / "epoch_2.pth")
    assert "epoch_3.pth does not tell its iteration, or cannot be loaded" in caplog.text


def test_nothing_whole_is_an_error_that_names_all(folder):
    for epoch in (1, 2, 3):
        cut(folder / f"epoch_{epoch}.pth")
    with pytest.raises(CheckpointError, match=r"(?s)epoch_3.*epoch_[12].*--resume PATH"):
        auto(folder)


@pytest.mark.parametrize(
    "pointer", [None, b"", b"\0" * 40, b"\xff\xfe\0no text", b"/elsewhere/epoch_7.pth", b"."]
)
def test_last_checkpoint_is_lost_or_garbage(pointer, folder):
    (folder / "last_checkpoint").unlink()
    if pointer is not None:
        (folder / "last_checkpoint").write_bytes(pointer)
    assert auto(folder) == str(folder / "epoch_3.pth")


def test_a_moved_work_directory(folder, tmp_path_factory):
    moved = tmp_path_factory.mktemp("other") / "run"
    (folder / "last_checkpoint").write_text(str(folder / "epoch_2.pth"))
    folder.rename(moved)
    assert auto(moved) == str(moved / "epoch_2.pth")


def test_a_copied_work_directory(folder, tmp_path_factory):
    """The original goes on by itself."""
    copied = tmp_path_factory.mktemp("other") / "run"
    shutil.copytree(folder, copied)
    assert auto(copied) == str(copied / "epoch_3.pth")


def test_checkpoints_in_a_folder_of_their_own(folder, tmp_path_factory):
    """As with out_dir of the hook; last_checkpoint stays in the work directory."""
    work_dir = tmp_path_factory.mktemp("work")
    (work_dir / "last_checkpoint").write_text(str(folder / "epoch_3.pth"))
    cut(folder / "epoch_3.pth")
    assert auto(work_dir) == str(folder / "epoch_2.pth")


def test_iterations_decide_and_not_names(tmp_path):
    save(tmp_path / "iter_9.pth", 9)
    save(tmp_path / "iter_10.pth", 10)
    save(tmp_path / "interrupted_iter_12.pth", 12)
    assert newest_whole(tmp_path, LOGGER) == tmp_path / "interrupted_iter_12.pth"


class TestNamed:
    def test_is_taken(self, folder):
        path = str(folder / "epoch_1.pth")
        assert choose(str(folder), True, path, LOGGER) == path

    @pytest.mark.parametrize("early", [True, False])
    def test_missing(self, early, folder):
        missing = str(folder / "epoch_8.pth")
        with pytest.raises(
            CheckpointError, match=r"--resume .*epoch_8.pth does not exist; .* without a path"
        ):
            check_named(missing) if early else choose(str(folder), True, missing, LOGGER)

    def test_missing_is_told_before_anything_is_built(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"^--resume nowhere.pth: "):
            commands.train(str(TINY), work_dir=str(tmp_path / "run"), resume="nowhere.pth")
        assert not (tmp_path / "run").exists()

    def test_an_address_is_left_to_the_download(self):
        check_named("https://example.org/epoch_8.pth")

    def test_damaged_names_another(self, folder):
        cut(folder / "epoch_3.pth")
        with pytest.raises(
            CheckpointError, match=r"epoch_3.*the newest one beside it is .*epoch_2"
        ):
            choose(str(folder), True, str(folder / "epoch_3.pth"), LOGGER)

    @pytest.mark.parametrize(
        "content", [{"state_dict": {"w": torch.ones(9)}}, {"w": torch.ones(9)}, {"meta": {"x": 1}}]
    )
    @pytest.mark.parametrize("older_format", [False, True])
    def test_weights_alone_are_to_begin_with(self, content, older_format, folder):
        path = str(folder / "weights.pth")
        torch.save(content, path, _use_new_zipfile_serialization=not older_format)
        with pytest.raises(
            CheckpointError, match=r"--resume .*weights.pth: it holds weights .* load_from=.*pth$"
        ):
            choose(str(folder), True, path, LOGGER)

    def test_a_run_in_the_older_format(self, folder):
        path = str(folder / "epoch_4.pth")
        torch.save({"meta": {"iter": 40}}, path, _use_new_zipfile_serialization=False)
        assert choose(str(folder), True, path, LOGGER) == path


STARTERS = {
    "torchrun": ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "this"),
    "slurm_run.sh": ("NORMLIB_RUN_ID", "NORMLIB_RESTARTS", "this"),
    "Slurm": ("SLURM_JOB_ID", "SLURM_RESTART_COUNT", "slurm-this"),
}


@pytest.mark.parametrize("starter", STARTERS)
class TestStartedAgain:
    @pytest.fixture(autouse=True)
    def own(self, starter, monkeypatch):
        """The id in the checkpoints of the run."""
        for name in (name for names in STARTERS.values() for name in names[:2]):
            monkeypatch.delenv(name, raising=False)
        name, count, own = STARTERS[starter]
        monkeypatch.setenv(name, "this")
        monkeypatch.setenv(count, "1")
        return own

    @pytest.mark.parametrize("resume", [False, True])
    def test_goes_on_from_its_own(self, resume, own, folder, caplog):
        """Whether it began with weights or with a checkpoint, which may be gone by now."""
        save(folder / "epoch_2.pth", 20, run_id=own)
        check_named("gone.pth")
        with caplog.at_level(logging.INFO):
            found = choose(str(folder), resume, "gone.pth", LOGGER)
        assert found == str(folder / "epoch_2.pth")
        assert "started again: going on from" in caplog.text

    def test_leaves_those_of_another_run(self, folder):
        save(folder / "epoch_3.pth", 30, run_id="another")
        assert choose(str(folder), False, None, LOGGER) is None

    def test_does_not_read_those_of_another_run(self, folder, caplog):
        """Else it would find the damage."""
        path = folder / "epoch_3.pth"
        save(path, 30, run_id="another")
        content = bytearray(path.read_bytes())
        content[content.index(torch.ones(99).numpy().tobytes())] ^= 1
        path.write_bytes(content)
        assert choose(str(folder), False, None, LOGGER) is None
        assert "epoch_3.pth" not in caplog.text

    def test_names_one_that_does_not_tell_its_run(self, own, folder, caplog):
        save(folder / "epoch_2.pth", 20, run_id=own)
        cut(folder / "epoch_3.pth")
        assert choose(str(folder), False, None, LOGGER) == str(folder / "epoch_2.pth")
        assert "cut short or damaged" in caplog.text

    def test_before_its_first_it_begins_as_it_was_told(self, folder):
        assert auto(folder) == str(folder / "epoch_3.pth")
        named = str(folder / "epoch_1.pth")
        assert choose(str(folder), True, named, LOGGER) == named

    def test_the_first_time_it_begins_as_it_was_told(self, starter, own, folder, monkeypatch):
        save(folder / "epoch_3.pth", 30, run_id=own)
        monkeypatch.setenv(STARTERS[starter][1], "0")
        named = str(folder / "epoch_1.pth")
        assert choose(str(folder), True, named, LOGGER) == named
