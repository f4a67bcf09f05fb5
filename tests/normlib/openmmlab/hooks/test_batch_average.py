"""BatchAverageHook in real runners: what is evaluated, saved and resumed, and what stays."""

from __future__ import annotations

import copy
import itertools
import os
import random
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from normlib.checkpoint.batch_average import MOMENTUM_STATISTICS, BatchAverage
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.hooks import BatchAverageHook
from normlib.openmmlab.launch import build_runner, load_config
from normlib.openmmlab.safe_loading import load_file
from normlib.openmmlab.wrappers import bare_model

TINY = Path(__file__).parents[3] / "tiny" / "config.py"
RUNS = itertools.count()
NAMES = ["backbone.norm.running_mean", "backbone.norm.running_var"]
MEAN, _ = NAMES


def statistics_of(model):
    return {name: value.clone() for name, value in model.named_buffers() if name in NAMES}


class Recorder(Hook):
    """Statistics in every validation, after it, and what training does meanwhile."""

    priority = "LOWEST"

    def __init__(self):
        self.evaluated, self.after, self.expected, self.weights, self.random = [], [], [], [], []
        self.restored = []

    def before_val_epoch(self, runner):
        model = bare_model(runner.model)
        self.evaluated.append(statistics_of(model))
        # The data of tests/tiny in their order, by hand.
        average = BatchAverage(model)
        with average.collecting():
            for batch in runner.train_dataloader:
                model(**batch, mode="loss")
        self.expected.append(average.statistics())

    def after_val(self, runner):
        self.restored.append(statistics_of(bare_model(runner.model)))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        model = bare_model(runner.model)
        self.after.append(statistics_of(model))
        self.weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        self.random.append((torch.rand(()).item(), np.random.rand(), random.random()))  # noqa: NPY002


def iterations(count: int) -> dict:
    return dict(_delete_=True, type="IterBasedTrainLoop", max_iters=count, val_interval=4)


def epochs(count: int) -> dict:
    """Epochs of 4 iterations."""
    return dict(_delete_=True, by_epoch=True, max_epochs=count)


def build(folder, *, loop, norm="SN", hook=True, checkpoint=None, launcher="none", **others):
    by_epoch = "max_epochs" in loop
    arguments = hook if isinstance(hook, dict) else {}
    saving = dict(type="CheckpointHook", interval=1 if by_epoch else 4, by_epoch=by_epoch)
    options = {
        "work_dir": str(folder),
        "experiment_name": f"{folder}-{next(RUNS)}",
        "norm_cfg": dict(type=norm),
        "train_cfg": copy.deepcopy(loop),
        # mmengine sleeps 2 s when an iteration loop starts its data again.
        "train_dataloader.dataset.size": 8 if by_epoch else 32,
        "param_scheduler": None,
        "custom_hooks": [dict(type="SyncStatisticsHook")]
        + [dict(type="BatchAverageHook", **arguments)] * bool(hook),
        "default_hooks.checkpoint": saving | (checkpoint or {}),
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


def assert_same(actual, expected):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name


LOOPS = pytest.mark.parametrize("loop", [iterations(8), epochs(2)], ids=["iterations", "epochs"])


@LOOPS
class TestBothLoops:
    @pytest.mark.parametrize("norm", ["SN", "SyncSSN", "BN"])
    def test_averages_are_evaluated(self, tmp_path, loop, norm):
        runner, recorder = train(tmp_path, loop=loop, norm=norm)
        assert len(recorder.evaluated) == 2
        for evaluated, expected, momentum in zip(
            recorder.evaluated, recorder.expected, recorder.after[3::4], strict=True
        ):
            assert_same(evaluated, expected)
            assert not torch.equal(evaluated[MEAN], momentum[MEAN])
        assert_same(statistics_of(runner.model), recorder.after[-1])

    def test_training_goes_on_untouched(self, tmp_path, loop):
        _, without = train(tmp_path / "without", loop=loop, hook=False)
        _, recorder = train(tmp_path / "with", loop=loop)
        assert recorder.random == without.random
        assert all(map(torch.equal, recorder.weights, without.weights))
        for with_hook, plain in zip(recorder.after, without.after, strict=True):
            assert_same(with_hook, plain)

    @pytest.mark.parametrize("validated", [True, False])
    def test_the_last_checkpoint_holds_averages(self, tmp_path, loop, validated):
        none = {} if validated else dict(val_dataloader=None, val_cfg=None, val_evaluator=None)
        runner, recorder = train(tmp_path, loop=loop, **none)
        first, last = ("epoch_1", "epoch_2") if "max_epochs" in loop else ("iter_4", "iter_8")
        early = load_file(tmp_path / f"{first}.pth")
        assert MOMENTUM_STATISTICS not in early
        assert torch.equal(early["state_dict"][MEAN], recorder.after[3][MEAN])
        late = load_file(tmp_path / f"{last}.pth")
        assert_same(late[MOMENTUM_STATISTICS], recorder.after[-1])
        saved = {name: late["state_dict"][name] for name in NAMES}
        average = BatchAverage(runner.model)
        with average.collecting():
            for batch in runner.train_dataloader:
                runner.model(**batch, mode="loss")
        assert_same(saved, average.statistics())
        # For the same weights the data are read once.
        assert log_of(runner).count("layers averaged over") == (2 if validated else 1)

    def test_longer_training_goes_on_from_momentum_statistics(self, tmp_path, loop):
        double = {key: 2 * value if key.startswith("max") else value for key, value in loop.items()}
        double["_delete_"] = True
        # One optimizer step depends on the whole past; so does every momentum statistic.
        _, whole = train(tmp_path / "whole", loop=double)
        train(tmp_path / "half", loop=loop)
        last = "epoch_2" if "max_epochs" in loop else "iter_8"
        source = str(tmp_path / "half" / f"{last}.pth")
        _, rest = train(tmp_path / "rest", loop=double, resume=True, load_from=source)
        for resumed, straight in zip(rest.after, whole.after[8:], strict=True):
            assert_same(resumed, straight)
        assert all(map(torch.equal, rest.weights, whole.weights[8:]))

    def test_the_best_checkpoint_holds_what_was_evaluated(self, tmp_path, loop):
        _, recorder = train(tmp_path, loop=loop, checkpoint=dict(save_best="accuracy"))
        (path,) = tmp_path.glob("best_*.pth")
        best = load_file(path)
        index = best["meta"]["iter"] // 4 - 1
        assert torch.equal(best["state_dict"][MEAN], recorder.evaluated[index][MEAN])
        assert_same(best[MOMENTUM_STATISTICS], recorder.after[4 * index + 3])


class TestData:
    def test_of_its_own(self, tmp_path):
        data = dict(
            batch_size=3,
            num_workers=1,
            persistent_workers=True,
            dataset=dict(type="TinyData", size=6),
            sampler=dict(type="InfiniteSampler", shuffle=False),
            collate_fn=dict(type="default_collate"),
        )
        hook = dict(num_batches=2, dataloader=data)
        runner, recorder = train(tmp_path, loop=epochs(2), hook=hook)
        evaluated = recorder.evaluated[-1]
        own = runner.build_dataloader({**data, "num_workers": 0, "persistent_workers": False})
        average = BatchAverage(runner.model)
        with average.collecting():
            for batch in itertools.islice(own, 2):
                runner.model(**batch, mode="loss")
        assert_same(evaluated, average.statistics())
        log = log_of(runner)
        assert "feeding 2 training batches per process to average the statistics of 1 norm" in log
        assert log.count("1 layers averaged over 2 batches per process in") == 2

    def test_that_end_before(self, tmp_path):
        runner, _ = train(tmp_path, loop=epochs(1), hook=dict(num_batches=60))
        assert "over 4 batches per process, all there are of 60, in" in log_of(runner)

    def test_progress_is_logged(self, tmp_path):
        data = dict(
            batch_size=1, dataset=dict(type="TinyData", size=120), num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=False),
            collate_fn=dict(type="default_collate"),
        )  # fmt: skip
        hook = dict(num_batches=100, dataloader=data)
        runner, _ = train(tmp_path, loop=epochs(1), hook=hook)
        assert "BatchAverageHook: 50 of 100 batches" in log_of(runner)
        assert "100 of 100" not in log_of(runner)


class TestErrors:
    @pytest.mark.parametrize("number", [0, -3, 1.5, True, None])
    def test_number_of_batches(self, number):
        with pytest.raises(ConfigError, match=f"BatchAverageHook: num_batches is {number}"):
            BatchAverageHook(num_batches=number)

    def test_a_model_without_layers(self, tmp_path):
        runner, _ = build(tmp_path, loop=epochs(1), norm="IN")
        with pytest.raises(ConfigError, match="BatchAverageHook: TinyModel has no norm"):
            runner.train()

    def test_a_config_may_allow_a_model_without_layers(self, tmp_path):
        runner, recorder = build(tmp_path, loop=epochs(1), norm="IN", hook=dict(required=False))
        runner.hooks.remove(recorder)
        runner.train()
        assert "the model has no batch statistics; nothing to average" in log_of(runner)
        assert MOMENTUM_STATISTICS not in load_file(tmp_path / "epoch_1.pth")

    def test_data_without_a_batch(self, tmp_path):
        data = dict(
            batch_size=9, drop_last=True, dataset=dict(type="TinyData", size=8), num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=False),
            collate_fn=dict(type="default_collate"),
        )  # fmt: skip
        runner, _ = build(tmp_path, loop=epochs(1), hook=dict(dataloader=data))
        with pytest.raises(ConfigError, match="BatchAverageHook: the dataloader has no batch"):
            runner.train()

    def test_moving_averages_of_weights(self, tmp_path):
        hooks = [dict(type="EMAHook"), dict(type="BatchAverageHook")]
        runner, _ = build(tmp_path, loop=epochs(1), custom_hooks=hooks)
        with pytest.raises(ConfigError, match=r"EMAHook.*tools/batch_average\.py"):
            runner.train()


def test_evaluation_alone_is_left_as_it_is(tmp_path):
    runner, recorder = build(tmp_path, loop=epochs(1))
    before = statistics_of(runner.model)
    runner.val_loop.run()
    assert_same(recorder.evaluated[0], before)


def train_on_rank(rank, folder, norm, by_epoch):
    place = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, LOCAL_WORLD_SIZE=2)
    with mock.patch.dict(os.environ, {key: str(value) for key, value in place.items()}):
        loop = epochs(1) if by_epoch else iterations(8)
        options = {"train_dataloader.dataset.size": 16 if by_epoch else 32}
        saving = dict(interval=1 if by_epoch else 8)
        runner, recorder = train(
            Path(folder), loop=loop, norm=norm, checkpoint=saving, launcher="pytorch", **options
        )
    return recorder, statistics_of(bare_model(runner.model))


@pytest.mark.parametrize("by_epoch", [True, False])
@pytest.mark.parametrize("norm", ["SN", "SyncSN"])
def test_ranks_average_and_save_the_same(rank_pool, tmp_path, norm, by_epoch):
    results = rank_pool(2).run(train_on_rank, str(tmp_path), norm, by_epoch)
    (first, momentum), (second, others) = results
    for evaluated, same, expected in zip(
        first.evaluated, second.evaluated, first.expected, strict=True
    ):
        assert_same(same, evaluated)
        assert_same(evaluated, expected)
    # SyncStatisticsHook averages these before they are set aside, also where nothing is saved.
    for here, there in zip(first.restored, second.restored, strict=True):
        assert_same(there, here)
    assert_same(others, momentum)
    (path,) = tmp_path.glob("*.pth")
    saved = load_file(path)
    assert_same({name: saved["state_dict"][name] for name in NAMES}, first.evaluated[-1])
    assert_same(saved[MOMENTUM_STATISTICS], momentum)
