"""SparseScheduleHook in real runners: the radius, the freezing, resuming, finetuning, ranks."""

from __future__ import annotations

import copy
import itertools
import os
from pathlib import Path
from unittest import mock

import pytest
import torch
from mmcv.cnn import build_norm_layer
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import normlib
from normlib.layers import Choice
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.hooks import SparseScheduleHook
from normlib.openmmlab.launch import build_runner, load_config
from normlib.openmmlab.safe_loading import load_file

TINY = Path(__file__).parents[3] / "tiny" / "config.py"
SGD = dict(type="SGD", lr=0.05, momentum=0.9, weight_decay=0.01)
RUNS = itertools.count()


@MODELS.register_module(force=True)
class TinySparse(BaseModel):
    """Two norms, of which the first may be frozen."""

    def __init__(self, norm="SSN", freeze=False):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)
        self.norm1 = build_norm_layer(dict(type=norm, requires_grad=not freeze), 4)[1]
        self.norm2 = build_norm_layer(dict(type=norm), 4)[1]
        self.head = nn.Linear(4, 2)

    def forward(self, image, label, mode="tensor"):
        x = self.norm1(self.conv1(image)).relu()
        x = self.norm2(self.conv2(x)).relu().square().mean((2, 3))
        loss = nn.functional.cross_entropy(self.head(x), label)
        return dict(loss=loss) if mode == "loss" else [dict(right=label[0] == 0)] * len(label)


class Recorder(Hook):
    """What every iteration computes with, and what it leaves."""

    priority = "LOWEST"

    def __init__(self):
        self.radii, self.ratios, self.logits, self.choices = [], [], [], []

    def layers(self, runner):
        return [layer for _, layer in normlib.switch_norm_layers(runner.model)]

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        layers = self.layers(runner)
        self.radii.append([layer.radius.item() for layer in layers])
        self.ratios.append([[r.tolist() for r in layer.ratios()] for layer in layers])
        self.logits.append(
            [[v.tolist() for v in (layer.mean_weight, layer.var_weight)] for layer in layers]
        )

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.choices.append([tuple(layer.choice) for layer in self.layers(runner)])


def iterations(count: int) -> dict:
    return dict(_delete_=True, type="IterBasedTrainLoop", max_iters=count, val_interval=count)


def epochs(count: int) -> dict:
    """Epochs of 4 iterations."""
    return dict(_delete_=True, by_epoch=True, max_epochs=count, val_interval=count)


def build(
    folder,
    *,
    loop,
    optimizer=SGD,
    norm="SSN",
    freeze=False,
    hook=None,
    save_every=-1,
    launcher="none",
    **others,
):
    hook = dict(type="SparseScheduleHook", **(hook or dict(interval=1)))
    options = {
        "work_dir": str(folder),
        "experiment_name": f"{folder}-{next(RUNS)}",
        "model": dict(_delete_=True, type="TinySparse", norm=norm, freeze=freeze),
        "train_cfg": copy.deepcopy(loop),
        # mmengine sleeps 2 s when an iteration loop starts its data again.
        "train_dataloader.dataset.size": 8 if "max_epochs" in loop else 64,
        "param_scheduler": None,
        "optim_wrapper.optimizer": dict(_delete_=True, **optimizer),
        "custom_hooks": [hook, dict(type="SyncBuffersHook")],
        "default_hooks.checkpoint": dict(
            type="CheckpointHook", interval=save_every, by_epoch=False, save_last=False
        ),
        **others,
    }
    runner = build_runner(load_config(TINY, options), launcher)
    recorder = Recorder()
    runner.register_hook(recorder)
    return runner, recorder


def train(folder, **options):
    runner, recorder = build(folder, **options)
    runner.train()
    return runner, recorder


def log_of(runner) -> str:
    return Path(runner.log_dir, f"{runner.timestamp}.log").read_text()


@pytest.mark.parametrize("loop", [iterations(12), epochs(3)], ids=["iterations", "epochs"])
class TestBothLoops:
    def test_radius_is_the_share_of_iterations_done(self, tmp_path, loop):
        _, recorder = train(tmp_path, loop=loop)
        expected = torch.tensor([[k / 12] * 2 for k in range(12)])
        torch.testing.assert_close(torch.tensor(recorder.radii), expected)

    @pytest.mark.parametrize("interval", [1, 7])
    def test_every_layer_ends_one_hot(self, tmp_path, loop, interval):
        hook = dict(interval=interval)
        runner, recorder = train(tmp_path, loop=loop, hook=hook, save_every=12)
        for layer in recorder.layers(runner):
            assert all(layer.choice)
            for ratios, chosen in zip(layer.ratios(), layer.choice, strict=True):
                assert ratios.tolist() == [float(n == chosen) for n in layer.normalizers]
        assert "sparse norms: 2 of 2 layers are one-hot" in log_of(runner)
        loaded = TinySparse()
        loaded.load_state_dict(load_file(tmp_path / "iter_12.pth")["state_dict"])
        assert loaded.norm1.choice == runner.model.norm1.choice

    def test_a_choice_is_what_the_iteration_used(self, tmp_path, loop):
        _, recorder = train(tmp_path, loop=loop)
        seen = 0
        for k, index, part in itertools.product(range(12), range(2), range(2)):
            now = recorder.choices[k][index][part]
            before = recorder.choices[k - 1][index][part] if k else None
            if now is not None and before is None:
                chosen = ("in", "ln", "bn").index(now)
                assert recorder.ratios[k][index][part] == [float(n == chosen) for n in range(3)]
                seen += 1
            elif before is not None:
                assert now == before
        assert seen == 4


class TestFreezing:
    @pytest.mark.parametrize(
        "optimizer",
        [
            dict(type="SGD", lr=0.05, momentum=0.9, weight_decay=0.5),
            dict(type="Adam", lr=0.05, weight_decay=0.5),
            dict(type="AdamW", lr=0.05, weight_decay=10.0),
        ],
        ids=lambda optimizer: optimizer["type"],
    )
    def test_chosen_control_parameters_no_longer_move(self, tmp_path, optimizer):
        _, recorder = train(tmp_path, loop=iterations(24), optimizer=optimizer)
        still = 0
        for k, index, part in itertools.product(range(23), range(2), range(2)):
            if recorder.choices[k][index][part] is not None:
                assert recorder.logits[k + 1][index][part] == recorder.logits[23][index][part]
                assert sorted(recorder.ratios[k + 1][index][part]) == [0, 0, 1]
                still += 1
        assert still >= 4 * 3

    def test_frozen_layers_keep_radius_and_ratios(self, tmp_path):
        runner, recorder = train(tmp_path, loop=iterations(12), freeze=True)
        assert {radius for radius, _ in recorder.radii} == {0.0}
        assert runner.model.norm1.choice == (None, None)
        assert runner.model.norm1.mean_weight.tolist() == [1, 1, 1]
        assert all(runner.model.norm2.choice)
        log = log_of(runner)
        assert "sparse norms: 1 of 2 layers are frozen as loaded" in log
        assert "sparse norms: 1 of 1 layers are one-hot" in log

    def test_nothing_before_an_iteration_waits_for_the_device(self, tmp_path):
        runner, _ = build(tmp_path, loop=iterations(12))
        hook = next(h for h in runner.hooks if isinstance(h, SparseScheduleHook))
        hook.before_train(runner)
        assert runner.iter == 0  # The loop is built when it is first asked for.
        runner.model.norm1.settle(Choice("in", None))

        class Operators(TorchDispatchMode):
            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                names.append(function.overloadpacket.__name__)
                return function(*args, **(kwargs or {}))

        names: list[str] = []
        with Operators():
            hook.before_train_iter(runner, 0)
        assert "cat" in names  # The copy of the control parameters.
        assert not {"_local_scalar_dense", "nonzero", "equal"} & set(names)


class TestCheckpoints:
    @pytest.mark.parametrize("interval", [1, 5])
    def test_resuming_anywhere_changes_nothing(self, tmp_path, interval):
        options = dict(
            loop=iterations(24), optimizer=dict(type="Adam", lr=0.05), hook=dict(interval=interval)
        )
        whole, recorder = train(tmp_path / "whole", save_every=7, **options)
        saved_after = (7, 14, 21)
        settled = [sum(map(all, recorder.choices[k - 1])) for k in saved_after]
        assert settled[0] == 0
        assert settled[-1] == 2
        for k in saved_after:
            source = str(tmp_path / "whole" / f"iter_{k}.pth")
            rest, resumed = train(tmp_path / f"{k}", resume=True, load_from=source, **options)
            for record in ("radii", "ratios", "logits", "choices"):
                assert getattr(resumed, record) == getattr(recorder, record)[k:], (k, record)
            for key, value in whole.model.state_dict().items():
                assert torch.equal(rest.model.state_dict()[key], value), (k, key)

    @pytest.fixture
    def trained(self, tmp_path):
        runner, _ = train(tmp_path / "first", loop=iterations(12), save_every=12)
        return dict(load_from=str(tmp_path / "first" / "iter_12.pth")), runner

    def test_finetuning_keeps_inherited_choices(self, tmp_path, trained):
        options, first = trained
        runner, recorder = train(tmp_path / "kept", loop=iterations(12), **options)
        choices = [tuple(layer.choice) for layer in recorder.layers(first)]
        assert recorder.choices == [choices] * 12
        assert recorder.radii[0] == [0.0, 0.0]
        assert "sparse norms: 2 of 2 layers keep a choice" in log_of(runner)

    def test_finetuning_releases_inherited_choices_when_asked(self, tmp_path, trained):
        options, first = trained
        hook = dict(interval=1, release_confidence=0.6)
        runner, recorder = train(tmp_path / "free", loop=iterations(12), hook=hook, **options)
        for ratios, layer in zip(recorder.ratios[0], recorder.layers(first), strict=True):
            for found, chosen in zip(ratios, layer.choice, strict=True):
                expected = [0.6 if n == chosen else 0.2 for n in layer.normalizers]
                assert found == pytest.approx(expected)
        assert recorder.choices[0] == [(None, None)] * 2
        assert all(all(choice) for choice in recorder.choices[-1])
        assert "sparse norms: 2 inherited choices released" in log_of(runner)

    def test_resuming_releases_nothing(self, tmp_path, trained):
        options, first = trained
        hook = dict(interval=1, release_confidence=0.6)
        _, recorder = train(tmp_path / "on", loop=iterations(24), hook=hook, resume=True, **options)
        choices = [tuple(layer.choice) for layer in recorder.layers(first)]
        assert recorder.radii[0] == [0.5, 0.5]
        assert recorder.choices == [choices] * 12


class TestErrors:
    @pytest.mark.parametrize("norm", ["BN", "SN"])
    def test_a_model_without_sparse_layers(self, tmp_path, norm):
        runner, _ = build(tmp_path, loop=iterations(2), norm=norm)
        with pytest.raises(ConfigError, match=r"no sparse layer.*type=SSN or SyncSSN, or take"):
            runner.train()

    @pytest.mark.parametrize("interval", [0, -1, 2.5, True, None])
    def test_interval(self, interval):
        with pytest.raises(ConfigError, match=f"interval is {interval}; it must be"):
            SparseScheduleHook(interval=interval)

    @pytest.mark.parametrize("confidence", [0, 1, -0.5])
    def test_release_confidence(self, confidence):
        with pytest.raises(ConfigError, match=rf"is {confidence}; it must lie in \(0, 1\)"):
            SparseScheduleHook(release_confidence=confidence)


def train_on_rank(rank, folder, norm):
    place = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, LOCAL_WORLD_SIZE=2)
    with mock.patch.dict(os.environ, {key: str(value) for key, value in place.items()}):
        runner, recorder = build(
            Path(folder),
            loop=epochs(6),
            norm=norm,
            launcher="pytorch",
        )
        runner.train()
    return recorder.choices, runner.model.module.state_dict()


@pytest.mark.parametrize("norm", ["SyncSSN", "SSN"])
def test_ranks_freeze_together(rank_pool, tmp_path, norm):
    ranks = rank_pool(2).run(train_on_rank, str(tmp_path), norm)
    (choices, first), (others, second) = ranks
    assert choices == others
    assert len(choices) == 12
    assert all(all(choice) for choice in choices[-1])
    for key, value in first.items():
        assert torch.equal(value, second[key]), key
    assert first["norm1.radius"].item() == pytest.approx(11 / 12)
