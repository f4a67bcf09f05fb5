"""Trainings that are asked to end after given iterations, and what they leave."""

from __future__ import annotations

import copy
import itertools
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from normlib.openmmlab.errors import TrainingInterrupted
from normlib.openmmlab.launch import build_runner, load_config
from normlib.openmmlab.safe_loading import load_file

# Runs of one name that begin in the same second share their log.
RUNS = itertools.count()


@HOOKS.register_module(force=True)
class SignalAfter(Hook):
    """Signals its own process after an iteration."""

    def __init__(self, iteration: int, number: int = signal.SIGTERM, rank: int = 0) -> None:
        self.iteration = iteration
        self.number = number
        self.here = int(os.environ.get("RANK", 0)) == rank

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.here and runner.iter + 1 == self.iteration:
            os.kill(os.getpid(), self.number)


@HOOKS.register_module(force=True)
class FailOnce(Hook):
    """Kills or stops one rank after an iteration, unless torchrun has started it again."""

    def __init__(self, iteration: int, rank: int, kind: str) -> None:
        first = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
        self.at = iteration if first and os.environ.get("RANK") == str(rank) else None
        self.kind = kind

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.at:
            if self.kind == "hang":
                signal.signal(signal.SIGTERM, signal.SIG_DFL)  # torchrun need not wait to kill it
                time.sleep(600)
            os.kill(os.getpid(), signal.SIGKILL)


@HOOKS.register_module(force=True)
class SlowToSave(Hook):
    """Takes its time for every checkpoint, on the rank that writes it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def before_save_checkpoint(self, runner, checkpoint):
        time.sleep(self.seconds)


def train(
    config: Path,
    folder: Path,
    options: dict[str, Any] | None = None,
    stop: int | None = None,
    launcher: str = "none",
    **hook: Any,
) -> Any:
    """Train, or go on with it; up to an iteration, after which the process signals itself."""
    options = {
        "randomness.seed": 7,
        "experiment_name": f"run{next(RUNS)}",
        **copy.deepcopy(options or {}),  # mmengine takes marks out of what it merges
    }
    cfg = load_config(config, options)
    cfg.work_dir, cfg.resume = str(folder), "auto"
    if stop is not None:
        signals = dict(type="SignalAfter", iteration=stop, **hook)
        cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), signals]
    runner = build_runner(cfg, launcher)
    try:
        runner.train()
    except TrainingInterrupted:
        assert stop is not None
    return runner


def train_with_stops(config: Path, folder: Path, stops: Iterable[int], **others: Any) -> None:
    """Train to the end, with a stop after each of some iterations."""
    for stop in (*stops, None):
        train(config, folder, stop=stop, **others)


def last_checkpoint(folder: Path) -> dict[str, Any]:
    """What the newest checkpoint of a work directory holds."""
    return load_file((folder / "last_checkpoint").read_text())


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two checkpoints differ in weights, optimizer or schedules, in any bit."""
    if not where:
        parts = ("state_dict", "optimizer", "param_schedulers")
        return [found for key in parts for found in differences(one[key], other[key], key)]
    if isinstance(one, torch.Tensor):
        alike = one.dtype == other.dtype and one.shape == other.shape
        return [] if alike and one.numpy().tobytes() == other.numpy().tobytes() else [where]
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return [f"{where}: {sorted(map(str, one.keys() ^ other.keys()))}"]
        return [
            found for key in one for found in differences(one[key], other[key], f"{where}.{key}")
        ]
    if isinstance(one, list | tuple):
        if len(one) != len(other):
            return [f"{where}: {len(one)} and {len(other)}"]
        return [
            found
            for number, pair in enumerate(zip(one, other, strict=True))
            for found in differences(*pair, f"{where}.{number}")
        ]
    return [] if one == other else [f"{where}: {one} and {other}"]
