"""HardenHook in real runners: when it happens, what it chooses, resuming, ranks."""

from __future__ import annotations

import copy
import itertools
import os
from pathlib import Path
from unittest import mock

import pytest
import torch
from mmengine.hooks import Hook

import normlib
from normlib.layers import Choice
from normlib.openmmlab.errors import CheckpointError, ConfigError
from normlib.openmmlab.hooks import HardenHook
from normlib.openmmlab.launch import build_runner, load_config
from normlib.openmmlab.safe_loading import load_file
from normlib.openmmlab.wrappers import bare_model

TINY = Path(__file__).parents[3] / "tiny" / "config.py"
RUNS = itertools.count()
KEY = "backbone.norm."


def norm_of(runner) -> normlib.SwitchNorm:
    return bare_model(runner.model).backbone.norm


class Recorder(Hook):
    """The choice that every iteration trains with, and the ratios before the first."""

    priority = "LOWEST"

    def __init__(self):
        self.choices, self.gamma = [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.choices.append(tuple(getattr(norm_of(runner), "choice", ())))
        self.gamma.append(norm_of(runner).weight.detach().clone())


def iterations(count: int) -> dict:
    return dict(_delete_=True, type="IterBasedTrainLoop", max_iters=count, val_interval=count)


def epochs(count: int) -> dict:
    """Epochs of 2 iterations."""
    return dict(_delete_=True, by_epoch=True, max_epochs=count, val_interval=count)


def build(folder, *, loop, hook, norm="SN", ratios=None, launcher="none", **others):
    by_epoch = "max_epochs" in loop
    options = {
        "work_dir": str(folder),
        "experiment_name": f"{folder}-{next(RUNS)}",
        "norm_cfg": norm if isinstance(norm, dict) else dict(type=norm),
        "train_cfg": copy.deepcopy(loop),
        # mmengine sleeps 2 s when an iteration loop starts its data again.
        "train_dataloader.dataset.size": 4 if by_epoch else 32,
        "param_scheduler": None,
        "custom_hooks": [] if hook is None else [dict(type="HardenHook", **hook)],
        "default_hooks.checkpoint": dict(type="CheckpointHook", interval=1, by_epoch=by_epoch),
        **others,
    }
    runner = build_runner(load_config(TINY, options), launcher)
    if ratios is not None:
        mean, var = ratios
        with torch.no_grad():
            norm_of(runner).mean_weight.copy_(torch.tensor(mean))
            norm_of(runner).var_weight.copy_(torch.tensor(var))
    recorder = Recorder()
    runner.register_hook(recorder)
    return runner, recorder


def train(folder, **options):
    runner, recorder = build(folder, **options)
    runner.train()
    return runner, recorder


def log_of(runner) -> str:
    return Path(runner.log_dir, f"{runner.timestamp}.log").read_text()


SOFT, LN_BN = (None, None), ("ln", "bn")
RATIOS = ([0.0, 0.4, 0.1], [0.0, 0.1, 0.4])


@pytest.fixture
def other(tmp_path):
    """A checkpoint whose ratios say 'bn' for means and 'in' for variances."""
    state = {f"module.{KEY}mean_weight": [0.0, 1.0, 2.0], f"module.{KEY}var_weight": [1.0, 0.9, 0]}
    path = tmp_path / "other.pth"
    torch.save({"state_dict": {key: torch.tensor(value) for key, value in state.items()}}, path)
    return str(path)


class TestWhen:
    @pytest.mark.parametrize("norm", ["SN", "SyncSN", "SSN"])
    @pytest.mark.parametrize("begin", [0, 1, 3])
    def test_before_an_epoch(self, tmp_path, norm, begin):
        runner, recorder = train(
            tmp_path, loop=epochs(4), hook=dict(begin=begin), norm=norm, ratios=RATIOS
        )
        assert recorder.choices[2 * begin :] == [LN_BN] * 2 * (4 - begin)
        if norm != "SSN":  # Its own schedule may settle it before.
            assert recorder.choices[: 2 * begin] == [SOFT] * 2 * begin
        assert log_of(runner).count("HardenHook: 1 layers are one-hot") == 1
        saved = load_file(tmp_path / "epoch_4.pth")["state_dict"]
        assert (saved[KEY + "mean_weight"] == 0).tolist() == [False, True, False]

    @pytest.mark.parametrize("begin", [0, 3])
    def test_before_an_iteration(self, tmp_path, begin):
        _, recorder = train(tmp_path, loop=iterations(4), hook=dict(begin=begin), ratios=RATIOS)
        assert recorder.choices == [SOFT] * begin + [LN_BN] * (4 - begin)

    def test_what_else_there_is_trains_on(self, tmp_path):
        _, recorder = train(tmp_path, loop=iterations(4), hook={}, ratios=RATIOS)
        gammas = torch.stack(recorder.gamma)
        assert (gammas[1:] != gammas[:-1]).any(1).all()


@pytest.mark.parametrize("loop", [iterations(4), epochs(4)], ids=["iterations", "epochs"])
class TestResuming:
    def name(self, loop, number):
        return f"epoch_{number}.pth" if "max_epochs" in loop else f"iter_{number}.pth"

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_a_run_changes_nothing(self, tmp_path, loop, number, other):
        hook = dict(begin=2, ratios_from=other)
        whole, recorder = train(tmp_path / "whole", loop=loop, hook=hook, ratios=RATIOS)
        source = str(tmp_path / "whole" / self.name(loop, number))
        if number > 2:
            Path(other).unlink()
        rest, resumed = train(
            tmp_path / "rest", loop=loop, hook=hook, resume=True, load_from=source
        )
        done = len(recorder.choices) * number // 4
        assert resumed.choices == recorder.choices[done:]
        assert all(map(torch.equal, resumed.gamma, recorder.gamma[done:]))
        for name, value in whole.model.state_dict().items():
            assert torch.equal(rest.model.state_dict()[name], value), name

    def test_a_soft_run_after_the_beginning(self, tmp_path, loop):
        train(tmp_path / "soft", loop=loop, hook=None, ratios=RATIOS)
        source = str(tmp_path / "soft" / self.name(loop, 3))
        _, resumed = train(
            tmp_path / "rest", loop=loop, hook=dict(begin=2), resume=True, load_from=source
        )
        assert set(resumed.choices) == {LN_BN}


class TestRatiosFrom:
    @pytest.mark.parametrize("norm", ["SN", "SSN"])
    def test_another_run(self, tmp_path, other, norm):
        _, plain = train(tmp_path / "plain", loop=epochs(1), hook=None, norm=norm)
        runner, recorder = train(
            tmp_path / "hard", loop=epochs(1), hook=dict(ratios_from=other), norm=norm
        )
        assert recorder.choices == [("bn", "in")] * 2
        assert torch.equal(recorder.gamma[0], plain.gamma[0])
        assert (
            f"1 layers are one-hot at the ratios of {other}: means in 0, ln 0, bn 1; variances "
            "in 1, ln 0, bn 0" in log_of(runner)
        )

    def test_take_the_place_of_a_choice(self, tmp_path, other):
        runner, recorder = build(tmp_path, loop=epochs(1), hook=dict(ratios_from=other))
        norm_of(runner).settle(Choice("ln", "ln"))
        runner.train()
        assert recorder.choices == [("bn", "in")] * 2

    def test_a_missing_file(self, tmp_path):
        hook = dict(begin=1, ratios_from=str(tmp_path / "absent.pth"))
        runner, recorder = build(tmp_path, loop=epochs(2), hook=hook)
        with pytest.raises(CheckpointError, match=r"absent\.pth does not exist"):
            runner.train()
        assert not recorder.choices

    @pytest.mark.parametrize("norm", ["BN", dict(type="SN", normalizers=("in", "bn"))])
    def test_a_file_of_another_model(self, tmp_path, norm):
        train(tmp_path / "other", loop=epochs(1), hook=None, norm=norm)
        hook = dict(ratios_from=str(tmp_path / "other" / "epoch_1.pth"))
        runner, _ = build(tmp_path / "run", loop=epochs(1), hook=hook)
        message = rf"epoch_1\.pth' lacks 2 of 2 .*: {KEY}mean_weight, {KEY}var_weight; name"
        with pytest.raises(CheckpointError, match=message):
            runner.train()


class TestLayers:
    def test_frozen_ones_stay(self, tmp_path):
        norm = dict(type="SN", requires_grad=False)
        runner, _ = build(tmp_path, loop=epochs(1), hook={}, norm=norm)
        with pytest.raises(ConfigError, match=r"no switchable layer that learns \(1 are frozen\)"):
            runner.train()

    def test_of_other_kinds(self, tmp_path):
        runner, _ = build(tmp_path, loop=epochs(1), hook={}, norm="BN")
        with pytest.raises(ConfigError, match=r"no switchable layer .*norm_cfg\.type=SN"):
            runner.train()

    def test_equal_ratios_are_pointed_out(self, tmp_path):
        runner, recorder = train(tmp_path, loop=epochs(1), hook={})
        assert recorder.choices == [("in", "in")] * 2
        assert "(1 had equal ratios and took the first)" in log_of(runner)


class TestArguments:
    @pytest.mark.parametrize("begin", [-1, 1.5, True, None])
    def test_begin(self, begin):
        with pytest.raises(ConfigError, match=f"begin is {begin}; it must be"):
            HardenHook(begin=begin)

    @pytest.mark.parametrize("loop", [iterations(3), epochs(3)], ids=["iterations", "epochs"])
    def test_begin_after_the_end(self, tmp_path, loop):
        runner, _ = build(tmp_path, loop=loop, hook=dict(begin=3))
        with pytest.raises(ConfigError, match="begin is 3, but training ends at 3"):
            runner.train()


class Apart(Hook):
    """Sets ratios by which ranks would choose differently, after mmengine has made them equal."""

    def before_train(self, runner):
        rank = runner.rank
        with torch.no_grad():
            norm_of(runner).mean_weight.copy_(torch.eye(3)[1 + rank])
            norm_of(runner).var_weight.copy_(torch.eye(3)[2 - rank])


def train_on_rank(rank, folder, by_epoch):
    place = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, LOCAL_WORLD_SIZE=2)
    with mock.patch.dict(os.environ, {key: str(value) for key, value in place.items()}):
        loop = epochs(2) if by_epoch else iterations(2)
        size = {"train_dataloader.dataset.size": 8}
        runner, recorder = build(
            Path(folder), loop=loop, hook=dict(begin=1), launcher="pytorch", **size
        )
        runner.register_hook(Apart())
        runner.train()
    return recorder.choices


@pytest.mark.parametrize("by_epoch", [True, False])
def test_ranks_choose_the_same(rank_pool, tmp_path, by_epoch):
    first, second = rank_pool(2).run(train_on_rank, str(tmp_path), by_epoch)
    assert first == second
    assert first == [SOFT] * (len(first) // 2) + [LN_BN] * (len(first) // 2)
