"""Signals that ask a training to end, once and more often."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from normlib.openmmlab.errors import TrainingInterrupted
from normlib.openmmlab.hooks import stop_signal
from normlib.openmmlab.hooks.stop_signal import SAME_REQUEST_SECONDS
from normlib.openmmlab.launch import build_runner, load_config
from tests.interruption import last_checkpoint

TINY = Path(__file__).parents[3] / "tiny" / "config.py"


@HOOKS.register_module(force=True)
class AskTwice(Hook):
    """Signals its own process twice after the second iteration."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == 2:
            for now in (0.0, self.seconds):
                stop_signal.time.monotonic = lambda now=now: now
                signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def killed(monkeypatch):
    """The signals by which the process would have ended itself."""
    sent = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


@pytest.mark.parametrize("seconds", [0.0, 0.1, SAME_REQUEST_SECONDS], ids=str)
def test_another_one_ends_the_process_if_it_is_another_request(
    seconds, killed, tmp_path, monkeypatch
):
    monkeypatch.setattr(stop_signal, "time", SimpleNamespace())
    hook = [dict(type="AskTwice", seconds=seconds)]
    cfg = load_config(TINY, {"work_dir": str(tmp_path), "custom_hooks": hook})
    with pytest.raises(TrainingInterrupted):
        build_runner(cfg).train()
    again = seconds >= SAME_REQUEST_SECONDS
    assert killed == [(os.getpid(), signal.SIGTERM)] * again
    assert last_checkpoint(tmp_path)["meta"]["iter"] == 2
