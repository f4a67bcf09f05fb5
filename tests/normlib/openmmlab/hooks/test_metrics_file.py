"""metrics.json: what it says, and that it is whole at any moment."""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import METRICS

import normlib
from normlib.openmmlab.hooks import MetricsFileHook
from normlib.openmmlab.hooks import metrics_file as module
from normlib.openmmlab.hooks.metrics_file import evaluated_at
from normlib.openmmlab.launch import build_runner, load_config

TINY = Path(__file__).parents[3] / "tiny" / "config.py"
RUNS = itertools.count()


@METRICS.register_module(force=True)
class StrangeMetrics(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(
            none=float("nan"),
            infinite=torch.tensor(float("-inf")),
            scalar=np.float32(0.5),
            tensor=torch.tensor(2),
            classwise=[0.25, np.float64("nan")],
            array=np.array([1.0, 2.0]),
            text="0.1 0.2",
        )


@METRICS.register_module(force=True)
class DetailedMetric(BaseMetric):
    """Has details from its first evaluation on."""

    def __init__(self, found, **kwargs):
        super().__init__(**kwargs)
        self.found = found

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        self.details = self.found
        return {}


def strict(constant: str):
    raise ValueError(f"{constant} is not JSON")


def stand_in(folder, **attributes):
    """What the hook reads of a runner."""
    loop = SimpleNamespace(
        dataloader=SimpleNamespace(dataset=range(5)), evaluator=SimpleNamespace(metrics=[])
    )
    attributes = dict(work_dir=folder, cfg=Config(), seed=3, _train_loop=None) | attributes
    return SimpleNamespace(val_loop=loop, test_loop=loop, **attributes)


class Run:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "run" / "metrics.json"

    def build(self, **options):
        settings = {
            "work_dir": str(self.path.parent),
            "experiment_name": f"{self.path.parent.parent.name}-{next(RUNS)}",
            "default_hooks.metrics": dict(type="MetricsFileHook"),
            # mmengine sleeps 2 s when an iteration loop starts its data again.
            "train_dataloader.dataset.size": 16,
            **{key.replace("__", "."): value for key, value in options.items()},
        }
        return build_runner(load_config(TINY, settings))

    def read(self) -> dict:
        return json.loads(self.path.read_text(), parse_constant=strict)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


class TestContent:
    def test_of_a_training(self, run):
        start = time.perf_counter()
        run.build().train()
        whole = time.perf_counter() - start  # of which an iteration is a part
        summary = run.read()
        assert set(summary["metrics"]) == {"accuracy", "count"}
        assert summary["metrics"]["count"] == 8
        assert (summary["iterations"], summary["max_iterations"]) == (16, 16)
        assert 0 < summary["seconds_per_iteration"] < whole
        # A process that has imported torch, on a machine that can hold it.
        assert 100 < summary["peak_memory_mib"] < 100_000
        assert summary["memory_of"] == ("device" if torch.cuda.is_available() else "process")
        assert summary["ranks"] == 1
        assert summary["versions"]["torch"] == torch.__version__
        assert summary["backend"] == normlib.backend().name

    def test_is_up_to_date_at_every_evaluation(self, run):
        seen = []

        class Reader(Hook):
            priority = "LOWEST"

            def after_val_epoch(self, runner, metrics=None):
                self.metrics = metrics

            def after_val(self, runner):
                seen.append((run.read()["iterations"], run.read()["metrics"] == self.metrics))

        runner = run.build()
        runner.register_hook(Reader())
        runner.train()
        assert seen == [(8, True), (16, True)]

    def test_tells_of_an_evaluation_once_the_best_checkpoint_is_there(self, run):
        seen = []

        class Reader(Hook):
            priority = "LOWEST"

            def after_val_epoch(self, runner, metrics=None):
                best = sorted(path.name for path in run.path.parent.glob("best_*"))
                seen.append((best, evaluated_at(str(run.path.parent))))

            def after_val(self, runner):
                self.after_val_epoch(runner)

        save_best = dict(type="CheckpointHook", interval=1, save_best="accuracy", rule="greater")
        runner = run.build(default_hooks__checkpoint=save_best, train_cfg__max_epochs=1)
        runner.register_hook(Reader())
        runner.train()
        best = ["best_accuracy_epoch_1.pth"]
        assert seen == [(best, None), (best, 8)]

    def test_of_an_iteration_loop(self, run):
        loop = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=6, val_interval=4)
        run.build(train_cfg=loop, param_scheduler=None).train()
        summary = run.read()
        assert (summary["iterations"], summary["max_iterations"]) == (6, 6)
        assert summary["metrics"]["count"] == 8

    @pytest.mark.parametrize("mode", ["val", "test"])
    def test_of_an_evaluation(self, run, mode):
        runner = run.build()
        getattr(runner, mode)()
        summary = run.read()
        assert summary["metrics"]["count"] == 8
        for key in ("iterations", "max_iterations", "seconds_per_iteration"):
            assert summary[key] is None
        # The training data stay unread.
        assert isinstance(runner._train_loop, dict)

    def test_of_a_resumed_training(self, run):
        run.build(train_cfg__max_epochs=1).train()
        run.build(resume=True).train()
        assert run.read()["iterations"] == 16

    def test_is_strict_json_whatever_the_metrics(self, run):
        run.build(test_evaluator=dict(_delete_=True, type="StrangeMetrics")).test()
        assert run.read()["metrics"] == dict(
            none=None,
            infinite=None,
            scalar=0.5,
            tensor=2.0,
            classwise=[0.25, None],
            array=[1.0, 2.0],
            text="0.1 0.2",
        )

    @pytest.mark.parametrize("mode", ["val", "test"])
    def test_holds_the_details_of_the_metrics_that_ran(self, run, mode):
        kind = dict(type="DetailedMetric")
        detailed = [
            dict(kind, found=dict(per_class=dict(wall=dict(IoU=71.5)), images=2000)),
            dict(type="StrangeMetrics"),
            dict(kind, found=dict(per_class=dict(wall=dict(F=float("nan")), sky=dict(F=0.5)))),
        ]
        other = [dict(kind, found=dict(images=1))]
        evaluators = dict(val_evaluator=other, test_evaluator=other)
        evaluators[f"{mode}_evaluator"] = detailed
        getattr(run.build(**evaluators), mode)()
        assert run.read()["details"] == dict(
            per_class=dict(wall=dict(IoU=71.5, F=None), sky=dict(F=0.5)), images=2000
        )
        assert '"images": 2000\n' in run.path.read_text()

    def test_has_no_details_where_no_metric_has(self, run):
        run.build().test()
        assert run.read()["details"] is None


class TestTime:
    """Against a clock that advances as told."""

    @pytest.fixture
    def clock(self, monkeypatch):
        now = SimpleNamespace(time=0.0)
        monkeypatch.setattr(module.time, "perf_counter", lambda: now.time)
        return now

    @staticmethod
    def runner(folder, iteration=0):
        return stand_in(folder, iter=iteration, max_iters=0)

    @pytest.mark.parametrize("start", [0, 1000])
    def test_is_the_median_without_the_first_iterations(self, clock, tmp_path, start):
        hook, runner = MetricsFileHook(warmup=2), self.runner(tmp_path)
        hook.before_train_epoch(runner)
        for k, seconds in enumerate([9, 9, 9, 1, 2, 30, 2, 1]):
            clock.time += seconds
            runner.iter = start + k
            hook.after_train_iter(runner, k)
        hook.after_train(runner)
        assert json.loads((tmp_path / "metrics.json").read_text())["seconds_per_iteration"] == 2

    def test_leaves_evaluations_and_the_time_between_epochs_out(self, clock, tmp_path):
        hook, runner = MetricsFileHook(warmup=0), self.runner(tmp_path)
        for _ in range(3):
            clock.time += 100
            hook.before_train_epoch(runner)
            for k in range(4):
                clock.time += 1
                hook.after_train_iter(runner, k)
            clock.time += 100
            hook.after_val_epoch(runner, {})
            hook.after_val(runner)
            clock.time += 100
            hook.after_train_iter(runner, 4)
        assert json.loads((tmp_path / "metrics.json").read_text())["seconds_per_iteration"] == 1

    def test_is_unknown_for_a_run_of_warm_up_alone(self, run):
        loop = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=3, val_interval=3)
        run.build(train_cfg=loop, param_scheduler=None).train()
        assert run.read()["seconds_per_iteration"] is None


class TestMemory:
    def test_outlives_the_resets_of_the_log(self, run, monkeypatch):
        """mmengine resets the device's peak whenever it logs the memory."""
        device = SimpleNamespace(peak=0)

        class Work(Hook):
            priority = "HIGHEST"

            def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
                device.peak = max(device.peak, 512 if runner.iter == 2 else 128)

        class Log(Hook):
            priority = "BELOW_NORMAL"  # as LoggerHook

            def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
                device.peak = 64

        runner = run.build()
        runner.register_hook(Work())
        runner.register_hook(Log())
        monkeypatch.setattr(module, "_peak_memory", lambda: device.peak)
        runner.train()
        assert run.read()["peak_memory_mib"] == 512


class TestWriting:
    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_an_interruption_leaves_the_last_file(self, run, step, monkeypatch):
        class Killed(BaseException):
            pass

        def kill(*args):
            raise Killed

        run.build(train_cfg__max_epochs=1).train()
        before = run.path.read_text()
        target = os if step == "fsync" else module.Path
        monkeypatch.setattr(target, step, kill)
        with pytest.raises(Killed):
            run.build(train_cfg__max_epochs=2).train()
        assert run.path.read_text() == before

        monkeypatch.undo()
        run.build(train_cfg__max_epochs=2).train()
        assert run.read()["iterations"] == 16
        assert [p.name for p in run.path.parent.glob("metrics.json*")] == ["metrics.json"]


def on_rank(rank, folder):
    runner = stand_in(folder)
    path = Path if rank == 0 else None  # Writing is rank 0's alone.
    with (
        mock.patch.object(module, "_peak_memory", return_value=100.0 * (rank + 1)),
        mock.patch.object(module, "Path", path),
    ):
        MetricsFileHook().after_test_epoch(runner, dict(ap=0.5))


def test_ranks_share_one_file_with_the_largest_memory(rank_pool, tmp_path):
    rank_pool(2).run(on_rank, str(tmp_path))
    summary = json.loads((tmp_path / "metrics.json").read_text())
    assert (summary["ranks"], summary["peak_memory_mib"]) == (2, 200.0)
    assert summary["metrics"] == {"ap": 0.5}


class TestDescription:
    def test_of_a_training(self, run):
        run.build(norm_cfg=dict(type="SN"), randomness__seed=4).train()
        described = run.read()
        assert described["format"] == 2
        assert described["evaluated_samples"] == 8
        assert described["run"] == {
            "config": "tests/tiny/config.py",
            "options": described["run"]["options"],
            "norm": "SN",
            "batch_size": 2,
            "seed": 4,
            "generated_data": False,
        }
        assert {"randomness.seed=4", "train_dataloader.dataset.size=16"} <= set(
            described["run"]["options"]
        )

    @pytest.mark.parametrize(
        ("norm_cfg", "label"),
        [
            (None, None),
            (dict(type="BN", requires_grad=False), "BN"),
            (dict(backbone=dict(type="BN"), head=dict(type="SN")), "backbone BN, head SN"),
            (dict(type="SN", neck=None), "SN, neck none"),
        ],
    )
    def test_label_of_the_norms(self, tmp_path, norm_cfg, label):
        runner = stand_in(tmp_path, cfg=Config(dict(norm_cfg=norm_cfg, generated_data=True)))
        MetricsFileHook().after_test_epoch(runner, {})
        described = json.loads((tmp_path / "metrics.json").read_text())["run"]
        assert described["norm"] == label
        assert described["generated_data"] is True
        assert described["config"] is None
