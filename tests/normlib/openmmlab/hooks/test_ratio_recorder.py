"""RatioRecorderHook in real runners: what it writes, on resuming too, and what it leaves alone."""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import mmdet
import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from normlib.analysis.ratio_file import read_ratios
from normlib.analysis.ratio_snapshot import ratios_of
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.hooks import RatioRecorderHook
from tests.interruption import differences, last_checkpoint, train
from tests.tiny.task import TinyBackbone

TINY = Path(__file__).parents[3] / "tiny" / "config.py"
# Two epochs of five batches, the last of which is smaller.
EPOCHS = {"train_dataloader.dataset.size": 9}
ITERATIONS = {
    "train_cfg": dict(_delete_=True, type="IterBasedTrainLoop", max_iters=10, val_interval=10),
    "train_dataloader.dataset.size": 64,
}
LOOPS = [EPOCHS, ITERATIONS]


@HOOKS.register_module(force=True)
class Witness(Hook):
    """The ratios that every iteration computes with, and those at the end."""

    priority = "LOWEST"
    seen: dict[int, np.ndarray] = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen[runner.iter] = ratios_of(runner.model).means[0]

    def after_train(self, runner):
        self.seen[runner.iter] = ratios_of(runner.model).means[0]


def options(norm="SN", **hook):
    return {
        "model.backbone.norm_cfg.type": norm,
        "optim_wrapper.optimizer.lr": 0.5,
        "default_hooks.ratios": dict(type="RatioRecorderHook", **hook),
    }


def log(runner) -> str:
    return Path(runner.log_dir, f"{runner.timestamp}.log").read_text()


@pytest.mark.parametrize("loop", LOOPS, ids=["epochs", "iterations"])
class TestRecord:
    @pytest.mark.parametrize(
        ("snapshots", "expected"),
        [(200, range(11)), (5, range(0, 11, 2)), (4, [0, 3, 6, 9, 10]), (1, [0, 10])],
    )
    def test_has_the_first_the_last_and_even_steps(self, loop, snapshots, expected, tmp_path):
        train(TINY, tmp_path, options(snapshots=snapshots) | loop)
        record = read_ratios(tmp_path)
        assert record.iterations.tolist() == list(expected)
        assert record.max_iters == 10

    @pytest.mark.parametrize("norm", ["SN", "SSN"])
    def test_is_of_what_iterations_compute_with(self, loop, norm, tmp_path):
        Witness.seen = {}
        hooks = [dict(type="Witness")]
        if norm == "SSN":
            hooks.append(dict(type="SparseScheduleHook", interval=1))
        train(TINY, tmp_path, options(norm) | loop | {"custom_hooks": hooks})
        record = read_ratios(tmp_path)
        seen = np.stack([Witness.seen[k] for k in record.iterations])
        np.testing.assert_allclose(record.means, seen, atol=1e-6)
        assert len({tuple(row) for row in record.means[:, 0].round(5).tolist()}) > 3


def test_layers_are_described_with_their_receptive_field(tmp_path):
    train(TINY, tmp_path, options("SyncSN") | EPOCHS)
    (layer,) = read_ratios(tmp_path).layers
    assert (layer.name, layer.part, layer.kind) == ("backbone.norm", "backbone", "SyncSN")
    assert (layer.channels, layer.receptive_field, layer.stride) == (4, 3, 1)


def test_a_model_without_switchable_norms_has_none(tmp_path):
    runner = train(TINY, tmp_path, options("BN") | EPOCHS)
    assert not list(tmp_path.glob("ratios*"))
    assert "ratios/" not in Path(runner.log_dir, "vis_data", "scalars.json").read_text()


class TestResuming:
    @pytest.mark.parametrize("loop", LOOPS, ids=["epochs", "iterations"])
    @pytest.mark.parametrize("stop", [1, 5])
    def test_anywhere_gives_the_same_record(self, loop, stop, tmp_path):
        every = options(snapshots=4) | loop
        train(TINY, tmp_path / "whole", every)
        train(TINY, tmp_path / "parts", every, stop=stop)
        train(TINY, tmp_path / "parts", every)
        whole, parts = (tmp_path / name / "ratios.bin" for name in ("whole", "parts"))
        assert whole.read_bytes() == parts.read_bytes()

    def test_drops_what_came_after_the_checkpoint(self, tmp_path):
        every = options() | EPOCHS
        train(TINY, tmp_path, every, stop=7)
        before = (tmp_path / "ratios.bin").read_bytes()
        (tmp_path / "interrupted_iter_7.pth").unlink()
        (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_1.pth"))
        # A process that was killed while it wrote.
        (tmp_path / "ratios.bin").write_bytes(before[:-5])
        train(TINY, tmp_path, every)
        assert read_ratios(tmp_path).iterations.tolist() == list(range(11))

    def test_a_longer_training(self, tmp_path):
        train(TINY, tmp_path, options() | EPOCHS)
        train(TINY, tmp_path, options(snapshots=5) | EPOCHS | {"train_cfg.max_epochs": 3})
        record = read_ratios(tmp_path)
        assert record.iterations.tolist() == [*range(11), 12, 15]
        assert record.max_iters == 15

    def test_a_finished_training_changes_nothing(self, tmp_path):
        train(TINY, tmp_path, options() | EPOCHS)
        before = (tmp_path / "ratios.bin").read_bytes()
        train(TINY, tmp_path, options() | EPOCHS)
        after = (tmp_path / "ratios.bin").read_bytes()
        assert before.partition(b"\n")[2] == after.partition(b"\n")[2]

    def test_another_training_in_the_folder_keeps_the_record_aside(self, tmp_path):
        every = options() | EPOCHS
        train(TINY, tmp_path, every)
        for checkpoint in (*tmp_path.glob("*.pth"), tmp_path / "last_checkpoint"):
            checkpoint.unlink()
        runner = train(TINY, tmp_path, every | {"model.backbone.norm_cfg.type": "SSN"})
        assert read_ratios(tmp_path / "ratios-1.bin").layers[0].kind == "SN"
        assert read_ratios(tmp_path).layers[0].kind == "SSN"
        said = (
            "ratios.bin begins anew, the one before is ratios-1.bin: it holds the ratios of other"
        )
        assert said in log(runner)


class TestLeavesAlone:
    @pytest.mark.parametrize(("norm", "stop"), [("SN", None), ("SSN", 4)])
    def test_what_is_trained(self, norm, stop, tmp_path):
        recorded = options(norm) | EPOCHS
        bare = {k: v for k, v in recorded.items() if k != "default_hooks.ratios"}
        for name, every in (("recorded", recorded), ("bare", bare)):
            if stop is not None:
                train(TINY, tmp_path / name, every, stop=stop)
            train(TINY, tmp_path / name, every)
        one, other = (last_checkpoint(tmp_path / name) for name in ("recorded", "bare"))
        assert differences(one, other) == []

    def test_the_model_after_the_first_iteration(self, tmp_path):
        runner = train(TINY, tmp_path, options() | EPOCHS)
        modules = list(runner.model.modules())
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in modules)
        assert not torch.utils._python_dispatch._get_current_dispatch_mode_stack()

    @pytest.mark.slow
    def test_a_model_that_is_compiled(self, tmp_path):
        every = options() | EPOCHS | {"compile": dict(backend="eager")}
        train(TINY, tmp_path, every)
        record = read_ratios(tmp_path)
        assert record.iterations.tolist() == list(range(11))
        assert record.layers[0].receptive_field is None

    def test_mixed_precision(self, tmp_path):
        every = options() | EPOCHS | {"optim_wrapper.type": "AmpOptimWrapper"}
        train(TINY, tmp_path, every)
        assert read_ratios(tmp_path).layers[0].receptive_field == 3

    def test_a_first_forward_that_fails(self, tmp_path, monkeypatch):
        forward = TinyBackbone.forward

        def fail(self, x):
            forward(self, x)
            raise ValueError("no such batch")

        monkeypatch.setattr(TinyBackbone, "forward", fail)
        with pytest.raises(ValueError, match="no such batch"):
            train(TINY, tmp_path, options() | EPOCHS)
        assert not torch.utils._python_dispatch._get_current_dispatch_mode_stack()

    def test_an_operator_that_cannot_be_followed(self, tmp_path, monkeypatch):
        from normlib.analysis import receptive_field

        monkeypatch.setattr(receptive_field, "FILLING", None)
        train(TINY, tmp_path, options() | EPOCHS)
        assert read_ratios(tmp_path).layers[0].receptive_field is None


class TestScalars:
    def test_in_the_local_file_are_lines_of_their_own(self, tmp_path):
        runner = train(TINY, tmp_path, options(snapshots=5) | EPOCHS)
        lines = Path(runner.log_dir, "vis_data", "scalars.json").read_text().splitlines()
        found = [line for line in map(json.loads, lines) if any("ratios/" in key for key in line)]
        assert [line["step"] for line in found] == [0, 2, 4, 6, 8, 10]
        record = read_ratios(tmp_path)
        for statistics, ratios in (("mean", record.means), ("var", record.variances)):
            for k, name in enumerate(("in", "ln", "bn")):
                values = [line.pop(f"ratios/backbone/{statistics}/{name}") for line in found]
                np.testing.assert_allclose(values, ratios[:, 0, k], atol=1e-6)
        assert all(line.keys() == {"step", "iter"} for line in found)

    def test_mmdetections_tool_for_logs_reads_them(self, tmp_path, monkeypatch):
        tool = Path(mmdet.__file__).parent / ".mim/tools/analysis_tools/analyze_logs.py"
        if not tool.is_file():
            pytest.skip("mmdet is installed without its tools")
        monkeypatch.setitem(sys.modules, "seaborn", ModuleType("seaborn"))  # for its plots
        runs = [
            train(TINY, tmp_path / name, EPOCHS | (options() if name == "with" else {}))
            for name in ("with", "without")
        ]
        files = [str(Path(run.log_dir, "vis_data", "scalars.json")) for run in runs]
        recorded, bare = runpy.run_path(str(tool))["load_json_logs"](files)
        assert recorded.keys() == bare.keys()
        for epoch, columns in bare.items():
            assert len(recorded[epoch]["loss"]) == len(columns["loss"]) > 0

    def test_tensorboard_has_them(self, tmp_path):
        accumulator = pytest.importorskip(
            "tensorboard.backend.event_processing.event_accumulator"
        ).EventAccumulator
        backends = [dict(type="TensorboardVisBackend")]
        visualizer = dict(type="Visualizer", vis_backends=backends, name=str(tmp_path))
        runner = train(TINY, tmp_path, options(snapshots=5) | EPOCHS | {"visualizer": visualizer})
        events = accumulator(str(Path(runner.log_dir, "vis_data")))
        events.Reload()
        points = events.Scalars("ratios/backbone/mean/bn")
        record = read_ratios(tmp_path)
        assert [point.step for point in points] == record.iterations.tolist()
        values = [point.value for point in points]
        np.testing.assert_allclose(values, record.means[:, 0, 2], atol=1e-6)
        assert "ratios/backbone/var/in" in events.Tags()["scalars"]

    def test_wandb_has_them_with_the_iteration(self, tmp_path, monkeypatch):
        """Through mmengine's backend, and a stand-in for the client, which needs an account."""
        logged = []
        client = ModuleType("wandb")
        client.init = lambda **options: None
        client.log = lambda scalars, commit: logged.append(scalars)
        client.join = lambda: None
        client.config = SimpleNamespace(update=lambda *args, **options: None)
        client.run = SimpleNamespace(log_code=lambda name: None)
        monkeypatch.setitem(sys.modules, "wandb", client)
        backends = [dict(type="LocalVisBackend"), dict(type="WandbVisBackend")]
        visualizer = dict(type="Visualizer", vis_backends=backends, name=str(tmp_path))
        train(TINY, tmp_path, options(snapshots=5) | EPOCHS | {"visualizer": visualizer})
        lines = [line for line in logged if "ratios/backbone/mean/bn" in line]
        record = read_ratios(tmp_path)
        assert [line["iter"] for line in lines] == record.iterations.tolist()
        values = [line["ratios/backbone/mean/bn"] for line in lines]
        np.testing.assert_allclose(values, record.means[:, 0, 2], atol=1e-6)


@pytest.mark.parametrize("snapshots", [0, -1, 2.5, True, None])
def test_snapshots_are_a_number_from_1_on(snapshots):
    with pytest.raises(ConfigError, match=f"snapshots is {snapshots}; it must be 1 or more"):
        RatioRecorderHook(snapshots=snapshots)


def train_on_rank(rank, folder):
    place = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, LOCAL_WORLD_SIZE=2)
    with mock.patch.dict(os.environ, {key: str(value) for key, value in place.items()}):
        runner = train(TINY, Path(folder), options("SyncSN") | EPOCHS, launcher="pytorch")
    return ratios_of(runner.model.module).means


def test_one_rank_writes_for_all(rank_pool, tmp_path):
    first, second = rank_pool(2).run(train_on_rank, str(tmp_path))
    np.testing.assert_array_equal(first, second)
    record = read_ratios(tmp_path)
    assert record.iterations.tolist() == list(range(7))
    np.testing.assert_allclose(record.means[-1:], first, atol=1e-6)
    assert record.layers[0].receptive_field == 3
