"""NonFiniteLossHook in real runners: its message, what is saved, loops, ranks, mixed precision."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, OPTIM_WRAPPERS
from torch import nn

from normlib.openmmlab.errors import ConfigError, TrainingError
from normlib.openmmlab.exit_code import exit_code
from normlib.openmmlab.hooks import NonFiniteLossHook
from normlib.openmmlab.launch import build_runner, load_config
from tests.interruption import SignalAfter

TINY = Path(__file__).parents[3] / "tiny" / "config.py"
RUNS = itertools.count()
NAN, INF = float("nan"), float("inf")


@MODELS.register_module(force=True)
class Diverging(BaseModel):
    """Its loss, 2 at first, has another value in one iteration, on one rank."""

    def __init__(self, at=None, value=NAN, rank=0, into="loss"):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.at, self.value, self.into = at, value, into
        self.here = int(os.environ.get("RANK", 0)) == rank
        self.count = 0

    def forward(self, image, label, mode="tensor"):
        if mode != "loss":
            return [dict(right=label[0] == 0)] * len(label)
        self.count += 1
        bad = self.here and self.count in np.atleast_1d(self.at)
        loss = 2 + self.weight.sum()
        if bad and self.into == "loss":
            loss = loss * self.value
        if bad and self.into == "gradient":
            loss.register_hook(lambda gradient: gradient * self.value)
        return dict(loss_a=loss / 2, loss_b=loss / 2, acc=label.float().mean())


@MODELS.register_module(force=True)
class WithNorm(Diverging):
    """Counts its batches in a buffer of integers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, image, label, mode="tensor"):
        return super().forward(self.norm(image), label, mode)


@MODELS.register_module(force=True)
class WithoutLoss(Diverging):
    def train_step(self, data, optim_wrapper):
        return dict(error=torch.ones(()))


@OPTIM_WRAPPERS.register_module(force=True)
class ScaledOptimWrapper(OptimWrapper):
    """Steps as AmpOptimWrapper does on a GPU."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)

    def backward(self, loss, **kwargs):
        super().backward(self.scaler.scale(loss), **kwargs)

    def step(self, **kwargs):
        self.scaler.step(self.optimizer)
        self.scaler.update()


class Reached(Hook):
    priority = "HIGHEST"

    def __init__(self):
        self.iterations = 0

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.iterations = runner.iter + 1


def iterations(count: int, **others) -> dict:
    return dict(
        _delete_=True, type="IterBasedTrainLoop", max_iters=count, **{"val_interval": 100, **others}
    )


def epochs(count: int, **others) -> dict:
    """Epochs of 8 iterations."""
    return dict(_delete_=True, by_epoch=True, max_epochs=count, **{"val_interval": 100, **others})


def build(folder, loop=None, interval=4, launcher="none", model=None, **options):
    settings = {
        "work_dir": str(folder),
        "experiment_name": f"{folder}-{next(RUNS)}",
        "model": {"_delete_": True, "type": "Diverging", **(model or {})},
        "train_cfg": loop or epochs(2),
        # mmengine sleeps 2 s when an iteration loop starts its data again.
        "train_dataloader.dataset.size": 16 if loop is None or "max_epochs" in loop else 64,
        "param_scheduler": None,
        "custom_hooks": [dict(type="NonFiniteLossHook", interval=interval)],
        "default_hooks.checkpoint": dict(type="CheckpointHook", interval=1),
        **options,
    }
    runner = build_runner(load_config(TINY, settings), launcher)
    reached = Reached()
    runner.register_hook(reached)
    return runner, reached


def diverge(folder, **options):
    runner, reached = build(folder, **options)
    with pytest.raises(TrainingError) as caught:
        runner.train()
    return str(caught.value), reached.iterations, runner


def saved(folder) -> list[str]:
    return sorted(path.name for path in Path(folder).glob("*.pth"))


class TestMessage:
    def test_in_an_epoch_loop(self, tmp_path):
        message, _, runner = diverge(tmp_path, model=dict(at=11))
        assert message.startswith(
            "the training has diverged: the loss is nan at iteration 11 of 16, epoch 2 of 2 "
            "(loss_a nan, loss_b nan, acc 0.5, the loss before it "
        )
        assert "learning rate 0.05; the gradient was not measured: " in message
        assert "optim_wrapper.clip_grad.max_norm=inf" in message
        assert "--amp" not in message
        assert message in Path(runner.log_dir, f"{runner.timestamp}.log").read_text()

    def test_in_an_iteration_loop(self, tmp_path):
        message, _, _ = diverge(tmp_path, loop=iterations(12), model=dict(at=3, value=-INF))
        assert "the loss is -inf at iteration 3 of 12 (loss_a -inf" in message

    @pytest.mark.parametrize("at", [5, 6])
    def test_the_loss_before(self, tmp_path, at):
        """Also where it was read with those before it."""
        message, _, _ = diverge(tmp_path, model=dict(at=at), **{"optim_wrapper.optimizer.lr": 0.01})
        weight = velocity = 0.0
        for _ in range(at - 2):
            velocity = 0.9 * velocity + 1
            weight -= 0.01 * velocity
        assert f"the loss before it {2 + 2 * weight:.6g})" in message

    def test_the_first_iteration(self, tmp_path):
        message, _, _ = diverge(tmp_path, model=dict(at=1))
        assert "iteration 1 of 16, epoch 1 of 2" in message
        assert "no loss before it" in message

    def test_the_gradient_where_it_is_measured(self, tmp_path):
        options = {"optim_wrapper.clip_grad.max_norm": INF}
        message, _, _ = diverge(tmp_path, model=dict(at=3), **options)
        assert f"norm of the gradient nan, {2**0.5:.6g} before." in message

    def test_an_infinite_limit_changes_no_gradient(self, tmp_path):
        weights = []
        for options in ({}, {"optim_wrapper.clip_grad.max_norm": INF}):
            runner, _ = build(tmp_path, loop=iterations(3), **options)
            runner.train()
            weights.append(runner.model.weight.detach())
        assert torch.equal(*weights)

    def test_every_learning_rate_once(self, tmp_path):
        options = {"optim_wrapper.paramwise_cfg": dict(custom_keys=dict(weight=dict(lr_mult=0.1)))}
        message, _, _ = diverge(tmp_path, model=dict(at=2), **options)
        assert re.search(r"learning rate 0\.005(, 0\.05)?;", message)

    def test_is_one_line_of_a_command(self, tmp_path, capsys):
        runner, _ = build(tmp_path, model=dict(at=2))
        assert exit_code(runner.train) == 2
        printed = capsys.readouterr().err.splitlines()
        assert sum(line.startswith("error: the training has diverged") for line in printed) == 1


class TestSkips:
    def skip(self, folder, at, max_skips=2, **model):
        hook = [dict(type="NonFiniteLossHook", interval=4, max_skips=max_skips)]
        runner, reached = build(folder, model=dict(at=at, **model), custom_hooks=hook)
        runner.train()
        return runner, reached

    @pytest.mark.parametrize("value", [NAN, INF])
    def test_leave_weights_and_statistics_as_they_are(self, tmp_path, value):
        """One iteration fewer of sixteen, since all of them have the same gradient."""
        skipped, _ = self.skip(tmp_path / "a", 6, value=value)
        whole, _ = build(tmp_path / "b", loop=iterations(15))
        whole.train()
        assert torch.equal(skipped.model.weight, whole.model.weight)
        log = Path(skipped.log_dir, f"{skipped.timestamp}.log").read_text()
        assert log.count("left out an iteration (1 of at most 2 in a row): the loss is ") == 1
        assert "at iteration 6 of 16, epoch 1 of 2" in log

    def test_leave_every_buffer_as_it_is(self, tmp_path):
        runner, _ = self.skip(tmp_path, [6, 9], type="WithNorm")
        assert int(runner.model.norm.num_batches_tracked) == 14

    def test_too_many_in_a_row_stop_the_run(self, tmp_path):
        with pytest.raises(TrainingError, match=r"3 iterations in a row could not be used: .*9 of"):
            self.skip(tmp_path, [7, 8, 9, 10])

    def test_others_in_between_begin_the_count_anew(self, tmp_path):
        _, reached = self.skip(tmp_path, [2, 3, 5, 6, 8])
        assert reached.iterations == 16

    def test_the_optimizer_is_put_back(self, tmp_path):
        runner, _ = self.skip(tmp_path, 3)
        assert runner.optim_wrapper.update_params.__qualname__.startswith("OptimWrapper")

    def test_need_one_step_an_iteration(self, tmp_path):
        hook = [dict(type="NonFiniteLossHook", max_skips=1)]
        options = {"optim_wrapper.accumulative_counts": 2, "custom_hooks": hook}
        with pytest.raises(ConfigError, match="accumulative_counts = 1 only"):
            build(tmp_path, **options)[0].train()

    @pytest.mark.parametrize("number", [-1, 1.5, True])
    def test_are_counted(self, number):
        with pytest.raises(ConfigError, match=f"max_skips is {number}; it must be 0 or more"):
            NonFiniteLossHook(max_skips=number)


class TestWhen:
    @pytest.mark.parametrize(("interval", "last"), [(1, 5), (3, 6), (4, 8), (100, 8)])
    @pytest.mark.parametrize("value", [NAN, INF])
    def test_at_the_next_look_or_the_end_of_the_epoch(self, tmp_path, interval, last, value):
        message, reached, _ = diverge(
            tmp_path, interval=interval, model=dict(at=5, value=value), loop=epochs(1)
        )
        assert "iteration 5 of 8" in message
        assert reached == (last if last < 8 else 8)

    def test_before_an_evaluation(self, tmp_path):
        loop = iterations(12, val_interval=3)
        message, reached, _ = diverge(tmp_path, loop=loop, interval=100, model=dict(at=5))
        assert "iteration 5 of 12" in message
        assert reached == 6

    @pytest.mark.parametrize("loop", [iterations(6), epochs(1)], ids=["iterations", "epoch"])
    def test_at_the_end(self, tmp_path, loop):
        last = loop.get("max_iters", 8)
        message, _, _ = diverge(tmp_path, loop=loop, interval=100, model=dict(at=last))
        assert f"iteration {last} of {last}" in message

    def test_a_run_of_finite_losses_is_left_alone(self, tmp_path):
        runner, reached = build(tmp_path)
        runner.train()
        assert reached.iterations == 16
        assert saved(tmp_path) == ["epoch_1.pth", "epoch_2.pth"]

    @pytest.mark.parametrize("mode", ["val", "test"])
    def test_evaluations_are_left_alone(self, tmp_path, mode):
        runner, _ = build(tmp_path)
        runner.model.weight.data.fill_(NAN)
        getattr(runner, mode)()


class TestNothingBadIsSaved:
    def test_at_the_end_of_an_epoch(self, tmp_path):
        diverge(tmp_path, interval=100, model=dict(at=16))
        assert saved(tmp_path) == ["epoch_1.pth"]

    @pytest.mark.parametrize("at", [4, 5, 6])
    def test_between_two_looks(self, tmp_path, at):
        checkpoint = dict(type="CheckpointHook", interval=3, by_epoch=False)
        options = {"default_hooks.checkpoint": checkpoint}
        diverge(tmp_path, loop=iterations(12), interval=100, model=dict(at=at), **options)
        assert saved(tmp_path) == ["iter_3.pth"]

    @pytest.mark.parametrize("value", [NAN, INF])
    def test_when_asked_to_end_between_two_looks(self, tmp_path, value):
        stop = dict(type=SignalAfter.__name__, iteration=3)
        hooks = [dict(type="NonFiniteLossHook", interval=4), stop]
        _, last, _ = diverge(tmp_path, model=dict(at=3, value=value), custom_hooks=hooks)
        assert last == 3
        assert saved(tmp_path) == []

    def test_at_the_very_end(self, tmp_path):
        checkpoint = dict(type="CheckpointHook", interval=100, by_epoch=False, save_last=True)
        options = {"default_hooks.checkpoint": checkpoint}
        diverge(tmp_path, loop=iterations(5), interval=100, model=dict(at=5), **options)
        assert saved(tmp_path) == []

    def test_the_best_one(self, tmp_path):
        checkpoint = dict(type="CheckpointHook", interval=100, by_epoch=False, save_best="accuracy")
        options = {"default_hooks.checkpoint": checkpoint}
        loop = iterations(12, val_interval=6)
        diverge(tmp_path, loop=loop, interval=100, model=dict(at=5), **options)
        assert saved(tmp_path) == []

    @pytest.mark.parametrize("at", [6, 8])
    def test_weights_that_the_last_step_has_spoilt(self, tmp_path, at):
        """The loss of the step was finite still."""
        loop = iterations(12) if at == 6 else epochs(1)
        checkpoint = dict(type="CheckpointHook", interval=3, by_epoch=False)
        options = {"default_hooks.checkpoint": checkpoint} if at == 6 else {}
        model = dict(at=at, value=INF, into="gradient")
        message, _, _ = diverge(tmp_path, loop=loop, interval=100, model=model, **options)
        assert f"diverged: weight are NaN or infinite after iteration {at} of" in message
        assert re.search(r"whose loss was -?\d", message)
        assert saved(tmp_path) == (["iter_3.pth"] if at == 6 else [])


class TestMixedPrecision:
    def test_steps_with_infinite_gradients_pass(self, tmp_path):
        runner, reached = build(
            tmp_path,
            model=dict(at=3, value=INF, into="gradient"),
            **{"optim_wrapper.type": "ScaledOptimWrapper"},
        )
        runner.train()
        assert reached.iterations == 16
        assert runner.optim_wrapper.scaler.get_scale() == 2.0

    def test_a_bad_loss_does_not(self, tmp_path):
        options = {"optim_wrapper.type": "AmpOptimWrapper", "optim_wrapper.dtype": "bfloat16"}
        message, _, _ = diverge(tmp_path, model=dict(at=3), **options)
        assert "the loss is nan at iteration 3 of 16" in message
        assert "train without --amp" in message


class TestMistakes:
    @pytest.mark.parametrize("interval", [0, -1, 2.5, True, None])
    def test_interval(self, interval):
        with pytest.raises(ConfigError, match=f"interval is {interval}; it must be 1 or more"):
            NonFiniteLossHook(interval)

    def test_a_model_without_loss(self, tmp_path):
        runner, _ = build(tmp_path, model=dict(type="WithoutLoss"))
        with pytest.raises(ConfigError, match=r"reads outputs\['loss'\].*returned error;"):
            runner.train()


def diverge_on_rank(rank, folder, bad_rank):
    place = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, LOCAL_WORLD_SIZE=2)
    with mock.patch.dict(os.environ, {key: str(value) for key, value in place.items()}):
        runner, reached = build(
            Path(folder),
            model=dict(at=5, rank=bad_rank, value=INF),
            launcher="pytorch",
            **{"train_dataloader.dataset.size": 32},
        )
        try:
            runner.train()
        except TrainingError as error:
            return str(error), reached.iterations
    return None, reached.iterations


@pytest.mark.parametrize("bad_rank", [0, 1])
def test_ranks_stop_together(rank_pool, tmp_path, bad_rank):
    ranks = rank_pool(2).run(diverge_on_rank, str(tmp_path), bad_rank)
    assert ranks[0] == ranks[1]
    message, reached = ranks[0]
    assert reached == 8
    assert "the loss is inf at iteration 5 of 16, epoch 1 of 2, " in message
    assert f", first on rank {bad_rank} of 2 (loss_a inf" in message
