"""What a command says and returns when it fails."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.registry import DATASETS

from normlib.openmmlab import commands
from normlib.openmmlab.errors import CheckpointError, ConfigError
from normlib.openmmlab.exit_code import exit_code

TINY = str(Path(__file__).parents[1] / "tiny" / "config.py")


class TestExitCode:
    def test_the_users_errors_are_one_line(self, capsys, monkeypatch):
        monkeypatch.delenv("RANK", raising=False)

        def command():
            raise ConfigError("norm_cfg.type is 'XX'")

        assert exit_code(command) == 2
        assert capsys.readouterr().err == "error: norm_cfg.type is 'XX'\n"

    def test_an_argument_that_a_class_does_not_know_is_the_users(self, capsys, monkeypatch):
        monkeypatch.delenv("RANK", raising=False)
        command = partial(
            commands.train, TINY, options={"train_dataloader.dataset.sise": 1, "work_dir": "x"}
        )
        monkeypatch.setattr(commands, "build_runner", lambda cfg, _: DATASETS.build(
            cfg.train_dataloader.dataset))  # fmt: skip
        assert exit_code(command) == 2
        assert "sise" in capsys.readouterr().err

    def test_another_rank_says_which(self, capsys, monkeypatch, tmp_path):
        monkeypatch.setenv("RANK", "3")
        monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))

        def command():
            raise CheckpointError("cut short")

        assert exit_code(command) == 2
        assert capsys.readouterr().err == "error (rank 3): cut short\n"
        assert '"cut short"' in (tmp_path / "error.json").read_text()

    def test_an_error_from_a_dataloader_worker(self, capsys, monkeypatch):
        monkeypatch.delenv("RANK", raising=False)
        loader = torch.utils.data.DataLoader(Unreadable(), num_workers=1)
        assert exit_code(lambda: next(iter(loader))) == 2
        assert capsys.readouterr().err == "error: image 7.jpg is truncated\n"

    def test_bugs_keep_their_traceback(self):
        with pytest.raises(ZeroDivisionError):
            exit_code(lambda: 1 / 0)
        with pytest.raises(ValueError, match="anything"):
            exit_code(lambda: int("anything"))

    def test_the_end_of_another_process_is_one_line(self, capsys, monkeypatch):
        monkeypatch.setenv("RANK", "1")

        def command():
            dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
            raise RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [::1]")

        assert exit_code(command) == 1
        assert capsys.readouterr().err == (
            "stopped (rank 1): another process of the run has ended\n"
        )
        assert not dist.is_initialized()

    def test_a_connection_to_elsewhere_is_no_process_of_the_run(self, capsys, monkeypatch):
        monkeypatch.delenv("RANK", raising=False)
        lost = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

        def download():
            dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
            raise CheckpointError(f"r50.pth cannot be fetched: {lost}")

        def other():
            raise lost

        assert exit_code(download) == 2
        assert capsys.readouterr().err == (
            "error: r50.pth cannot be fetched: [Errno 104] Connection reset by peer\n"
        )
        with pytest.raises(ConnectionResetError):
            exit_code(other)

    def test_interrupts(self):
        def command():
            raise KeyboardInterrupt

        assert exit_code(command) == 130
        assert exit_code(lambda: None) == 0


class Unreadable(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise ConfigError("image 7.jpg is truncated")
