"""tools/train.py, tools/test.py and tools/batch_average.py, as a user calls them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from mmengine.config import Config

from normlib.checkpoint.batch_average import MOMENTUM_STATISTICS
from normlib.openmmlab import averaged_checkpoint, commands
from normlib.openmmlab.errors import CheckpointError, ConfigError
from normlib.openmmlab.safe_loading import load_file
from tests.tiny.task import TinyData

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "tests" / "tiny" / "config.py")


def python(*args, cwd, environ=None, isolated=False):
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(environ or {})}
    command = [sys.executable, *(["-S"] if isolated else []), *map(str, args)]
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True)


@pytest.fixture
def trained(tmp_path):
    commands.train(TINY, work_dir=str(tmp_path / "run"), options={"train_cfg.max_epochs": 1})
    return tmp_path / "run" / "epoch_1.pth"


def config_of(work_dir):
    return Config.fromfile(work_dir / "config.py", import_custom_modules=False)


class TestTrain:
    def test_options_reach_the_run(self, tmp_path):
        commands.train(
            TINY,
            work_dir=str(tmp_path),
            amp=True,
            auto_scale_lr=True,
            options={"auto_scale_lr.base_batch_size": 4, "train_cfg.max_epochs": 1},
        )
        cfg = config_of(tmp_path)
        assert cfg.optim_wrapper.type == "AmpOptimWrapper"
        # Batch 2 where the learning rate 0.05 is for 4.
        optimizer = load_file(tmp_path / "epoch_1.pth")["optimizer"]
        assert optimizer["param_groups"][0]["initial_lr"] == 0.025

    @pytest.mark.parametrize("auto", [True, False])
    def test_resume(self, auto, trained):
        resume = "auto" if auto else str(trained)
        commands.train(TINY, work_dir=str(trained.parent), resume=resume)
        last = load_file(trained.parent / "epoch_2.pth")
        assert last["meta"]["iter"] == 8

    def test_auto_resume_without_a_checkpoint_starts(self, tmp_path):
        commands.train(
            TINY, work_dir=str(tmp_path), resume="auto", options={"train_cfg.max_epochs": 1}
        )
        assert (tmp_path / "epoch_1.pth").is_file()

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            (dict(auto_scale_lr=True), ConfigError, "base_batch_size"),
            (dict(amp=True, options={"optim_wrapper.type": "Own"}), ConfigError, "--amp.*Own"),
            (dict(resume="absent.pth"), CheckpointError, r"absent\.pth"),
            (dict(options={"load_from": "absent.pth"}), CheckpointError, r"load_from.*absent\.pth"),
        ],
    )
    def test_mistakes_are_found_before_anything_is_written(
        self, arguments, error, message, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(error, match=message):
            commands.train(TINY, work_dir="run", **arguments)
        assert not any(tmp_path.iterdir())


class TestTest:
    def test_metrics(self, trained, tmp_path):
        metrics = commands.evaluate(TINY, str(trained), work_dir=str(tmp_path / "test"))
        assert metrics["count"] == 8
        assert not (tmp_path / "test" / "epoch_1.pth").exists()

    def test_the_record_of_the_training_stays(self, trained, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        before = {path: path.read_bytes() for path in trained.parent.rglob("*") if path.is_file()}
        # Within a second of the training, the name alone tells their logs apart.
        options = {"work_dir": str(trained.parent), "experiment_name": "evaluation"}
        commands.evaluate(TINY, str(trained), options=options)
        assert {path: path.read_bytes() for path in before} == before
        assert (trained.parent / "test").is_dir()

    def test_no_training_data_is_needed(self, trained, tmp_path):
        options = {"train_dataloader.dataset.type": "Absent"}
        metrics = commands.evaluate(
            TINY, str(trained), work_dir=str(tmp_path / "test"), options=options
        )
        assert metrics["count"] == 8

    def test_drawing_is_for_one_process(self, trained, monkeypatch):
        for name in ("RANK", "LOCAL_RANK"):
            monkeypatch.setenv(name, "0")
        for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
            monkeypatch.setenv(name, "2")
        with pytest.raises(ConfigError, match="--show-dir"):
            commands.evaluate(TINY, str(trained), show_dir="shown", launcher="pytorch")

    def test_out_writes_coco_json(self, trained, tmp_path):
        out = tmp_path / "new" / "results.json"
        commands.evaluate(TINY, str(trained), work_dir=str(tmp_path / "test"), out=str(out))
        assert (tmp_path / "new" / "results.bbox.json").read_text() == "8"

    def test_finetuning_allowances_do_not_hold(self, trained, tmp_path):
        options = {"norm_cfg.type": "SN", "allow_missing_weights": ["norm"]}
        with pytest.raises(CheckpointError, match="mean_weight"):
            commands.evaluate(TINY, str(trained), work_dir=str(tmp_path / "test"), options=options)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (dict(out="results.pkl"), r"results\.pkl.*\.json"),
            (dict(out="r.json", options={"test_evaluator.type": "DumpResults"}), "DumpResults"),
            (dict(out="results"), r"results: .* COCO JSON; name a \.json"),
            (dict(tta=True), "no tta_model and no tta_pipeline"),
            (dict(tta_compare=True), "no tta_model and no tta_pipeline"),
            (dict(tta=True, tta_compare=True), "leave out --tta"),
            (dict(show_dir="shown"), "visualization"),
        ],
    )
    def test_mistakes(self, arguments, message, trained, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ConfigError, match=message):
            commands.evaluate(TINY, str(trained), work_dir=str(tmp_path / "test"), **arguments)

    def test_a_missing_checkpoint(self):
        with pytest.raises(ConfigError, match=r"absent\.pth does not exist"):
            commands.evaluate(TINY, "absent.pth")

    def test_weights_of_other_pixels(self, trained):
        """Before anything is written, also by a batch average; an allowed one runs."""
        weights = trained.parent / "checkpoints" / "resnet50_sn_8x2.pth"
        weights.parent.mkdir()
        trained.rename(weights)
        files = sorted(trained.parent.rglob("*"))
        other = {
            "work_dir": str(trained.parent),
            "model.data_preprocessor": dict(type="ImgDataPreprocessor"),
            "test_dataloader.dataset.pipeline": [dict(type="LoadImageFromFile")],
        }
        for command in (commands.evaluate, commands.batch_average):
            with pytest.raises(ConfigError, match=r"load_from = .*was trained on RGB"):
                command(TINY, str(weights), options=other)
        with pytest.raises(ConfigError, match=r"load_from = .*was trained on RGB"):
            commands.train(TINY, options={**other, "load_from": str(weights)})
        assert sorted(trained.parent.rglob("*")) == files


class TestBatchAverage:
    @pytest.fixture
    def trained(self, tmp_path):
        """A checkpoint of a model whose batch statistics a few iterations have not settled."""
        options = {"train_cfg.max_epochs": 1, "norm_cfg.type": "SN"}
        commands.train(TINY, work_dir=str(tmp_path / "run"), options=options)
        return tmp_path / "run" / "epoch_1.pth"

    def average(self, checkpoint, options=None, **arguments):
        options = {
            "norm_cfg.type": "SN",
            "work_dir": str(checkpoint.parent.parent / "work"),
            "experiment_name": str(checkpoint.parent),
            **(options or {}),
        }
        return commands.batch_average(TINY, str(checkpoint), options=options, **arguments)

    def test_everything_else_stays(self, trained):
        before = trained.read_bytes()
        path = self.average(trained)
        assert path == trained.with_name("epoch_1_batch_average.pth")
        assert trained.read_bytes() == before
        old, new = load_file(trained), load_file(path)
        momentum = new.pop(MOMENTUM_STATISTICS)
        assert new.keys() == old.keys()
        assert new["meta"] == old["meta"]
        for key, value in old["state_dict"].items():
            moved = "running" in key
            assert torch.equal(new["state_dict"][key], value) != moved, key
            assert not moved or torch.equal(momentum[key], value)
        assert len(momentum) == 2
        assert new["optimizer"]["param_groups"] == old["optimizer"]["param_groups"]

    def test_statistics_are_those_of_the_training_data(self, trained):
        state = load_file(self.average(trained))["state_dict"]
        images = torch.stack([TinyData()[k]["image"] for k in range(8)])
        weight, bias = (state[f"backbone.conv.{name}"] for name in ("weight", "bias"))
        x = torch.nn.functional.conv2d(images, weight, bias)
        means = torch.stack([batch.mean((0, 2, 3)) for batch in x.split(2)])
        torch.testing.assert_close(state["backbone.norm.running_mean"], means.mean(0))

    def test_the_log_tells_what_moved_and_how_to_evaluate(self, trained, tmp_path):
        path = self.average(trained)
        (log,) = (tmp_path / "work" / "batch_average").glob("*/*.log")
        text = log.read_text()
        assert re.search(r"\nmean +[\d.]+ std +[\d.]+ std +backbone\.norm\n", text)
        assert re.search(r"\nvariance +[\d.]+ of it +[\d.]+ of it +backbone\.norm\n", text)
        assert f"same --cfg-options: python tools/test.py {TINY} {path}" in text
        assert "over 4 batches per process, all there are of 200," in text
        options = {"norm_cfg.type": "SN"}
        commands.evaluate(TINY, str(path), work_dir=str(tmp_path / "test"), options=options)

    def test_the_hook_of_the_config_says_how(self, trained):
        data = dict(
            batch_size=4, num_workers=0, dataset=dict(type="TinyData", size=16),
            sampler=dict(type="DefaultSampler", shuffle=False),
            collate_fn=dict(type="default_collate"),
        )  # fmt: skip
        hook = dict(type="BatchAverageHook", num_batches=3, dataloader=data)
        path = self.average(trained, {"custom_hooks": [hook]})
        assert "over 3 batches per process in" in self.log(trained)
        again = self.average(trained, {"custom_hooks": [hook]}, num_batches=1, force=True)
        assert again == path
        assert "over 1 batches per process in" in self.log(trained)

    def log(self, trained):
        logs = (trained.parent.parent / "work" / "batch_average").glob("*/*.log")
        return "".join(log.read_text() for log in logs)

    def test_momentum_statistics_survive_a_second_time(self, trained):
        first = self.average(trained)
        second = self.average(first, out=str(trained.parent / "new" / "b.pth"), num_batches=1)
        kept = [load_file(path)[MOMENTUM_STATISTICS] for path in (first, second)]
        assert kept[0].keys() == kept[1].keys()
        assert all(torch.equal(kept[0][name], value) for name, value in kept[1].items())

    def test_weights_alone(self, trained):
        weights = trained.with_name("weights.pth")
        state = load_file(trained)["state_dict"]
        torch.save({f"module.{key}": value for key, value in state.items()}, weights)
        new = load_file(self.average(weights))
        assert set(new) == {"state_dict", MOMENTUM_STATISTICS}
        assert new["state_dict"].keys() == state.keys()

    @pytest.mark.parametrize(
        ("out", "message"),
        [
            ("epoch_1.pth", "is the checkpoint to read"),
            ("other.pth", "other.pth exists: replace it with --force"),
            (".", "is a folder"),
            ("other.pth/b.pth", "cannot be written: no files can be made in .*other.pth"),
        ],
    )
    def test_other_files_stay(self, out, message, trained):
        other = trained.with_name("other.pth")
        other.write_text("other")
        with pytest.raises(ConfigError, match=message):
            self.average(trained, out=str(trained.parent / out))
        assert other.read_text() == "other"
        assert not (trained.parent.parent / "work").exists()

    def test_a_failure_leaves_nothing(self, trained, monkeypatch):
        def full(*args):
            raise OSError("No space left on device")

        before = sorted(trained.parent.iterdir())
        monkeypatch.setattr(averaged_checkpoint.os, "fsync", full)
        with pytest.raises(ConfigError, match="could not be written: No space left"):
            self.average(trained)
        assert sorted(trained.parent.iterdir()) == before

    @pytest.mark.parametrize(
        ("options", "arguments", "error", "message"),
        [
            ({}, dict(num_batches=0), ConfigError, "num_batches is 0"),
            ({"norm_cfg.type": "IN"}, {}, ConfigError, "no norm whose batch statistics"),
            ({"train_dataloader": None}, {}, ConfigError, "no train_dataloader"),
            ({"model.backbone.channels": 8}, {}, CheckpointError, "another shape"),
        ],
    )
    def test_mistakes(self, options, arguments, error, message, trained):
        with pytest.raises(error, match=message):
            self.average(trained, options, **arguments)
        assert not trained.with_name("epoch_1_batch_average.pth").exists()

    def test_a_missing_checkpoint(self, tmp_path):
        with pytest.raises(ConfigError, match=r"absent\.pth does not exist"):
            self.average(tmp_path / "run" / "absent.pth")

    def test_a_checkpoint_from_afar_needs_a_name(self):
        with pytest.raises(ConfigError, match=r"--out FILE"):
            commands.batch_average(TINY, "https://example.org/model.pth")

    def test_ranks_write_one_file(self, trained, rank_pool):
        alone = load_file(self.average(trained))["state_dict"]
        out = trained.with_name("together.pth")
        rank_pool(2).run(average_on_rank, str(trained), str(out))
        together = load_file(out)["state_dict"]
        for key, value in alone.items():
            torch.testing.assert_close(together[key], value)


def average_on_rank(rank, checkpoint, out):
    place = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, LOCAL_WORLD_SIZE=2)
    with mock.patch.dict(os.environ, {key: str(value) for key, value in place.items()}):
        options = {"norm_cfg.type": "SN", "work_dir": f"{out}.work"}
        options["experiment_name"] = f"rank-{rank}"
        # Batches of two in the same pairs as those of one process.
        options["train_dataloader.batch_size"] = 1
        options["train_dataloader.sampler"] = dict(type="DefaultSampler", shuffle=False)
        options["norm_cfg.type"] = "SyncSN"
        commands.batch_average(TINY, checkpoint, out=out, options=options, launcher="pytorch")


class TestDetectionOptions:
    """What --show-dir, --tta and --tta-compare change in a config of mmdet."""

    @pytest.fixture
    def configs(self):
        """The configs that Runners are built from."""
        return []

    @pytest.fixture
    def built(self, configs, monkeypatch, tmp_path):
        """The config that the first Runner is built from."""

        class Runner:
            def test(self):
                return {}

        monkeypatch.setattr(
            commands, "build_runner", lambda cfg, launcher: configs.append(cfg) or Runner()
        )
        (tmp_path / "weights.pth").touch()
        path = tmp_path / "det.py"
        path.write_text(
            "default_scope = 'mmdet'\n"
            "model = dict(type='FasterRCNN')\n"
            "default_hooks = dict(visualization=dict(type='DetVisualizationHook'))\n"
            "visualizer = dict(type='DetLocalVisualizer', name='visualizer')\n"
            "test_evaluator = dict(type='CocoMetric')\n"
            "test_dataloader = dict(dataset=dict(type='R', dataset=dict(pipeline=['plain'])))\n"
            "tta_model = dict(type='DetTTAModel')\n"
            "tta_pipeline = ['augmented']\n"
        )

        def evaluate(**arguments):
            commands.evaluate(str(path), str(tmp_path / "weights.pth"), **arguments)
            return configs[0]

        return evaluate

    def test_show_dir(self, built, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        hook = built(show_dir="shown").default_hooks.visualization
        assert hook.draw
        assert hook.test_out_dir == str(tmp_path / "shown")

    def test_show_dir_without_a_visualizer(self, built):
        with pytest.raises(ConfigError, match=r"visualizer \(Visualizer\) draws no predictions"):
            built(show_dir="shown", options={"visualizer": None})

    def test_out(self, built, tmp_path):
        out = str(tmp_path / "results.json")
        assert built(out=out).test_evaluator.outfile_prefix == str(tmp_path / "results")

    def test_tta(self, built):
        cfg = built(tta=True)
        assert cfg.model.type == "DetTTAModel"
        assert cfg.model.module.type == "FasterRCNN"
        assert cfg.test_dataloader.dataset.dataset.pipeline == ["augmented"]

    def test_tta_compare(self, built, configs, tmp_path):
        built(tta_compare=True, out=str(tmp_path / "r.json"), show_dir=str(tmp_path / "shown"))
        plain, augmented = configs
        assert (plain.model.type, augmented.model.type) == ("FasterRCNN", "DetTTAModel")
        assert plain.test_dataloader.dataset.dataset.pipeline == ["plain"]
        assert augmented.test_dataloader.dataset.dataset.pipeline == ["augmented"]
        assert augmented.work_dir == f"{plain.work_dir}/tta"
        assert plain.test_evaluator.outfile_prefix == str(tmp_path / "r")
        assert augmented.test_evaluator.outfile_prefix == str(tmp_path / "tta" / "r")
        assert plain.default_hooks.visualization.test_out_dir == str(tmp_path / "shown")
        hook = augmented.default_hooks.visualization
        assert hook.test_out_dir == str(tmp_path / "shown" / "tta")


class TestCommandLine:
    @pytest.mark.slow
    def test_train_and_test_from_any_folder(self, tmp_path):
        options = ["--cfg-options", "norm_cfg.type=SN", "train_cfg.max_epochs=1"]
        train = python(ROOT / "tools" / "train.py", TINY, "--amp", *options, cwd=tmp_path)
        assert train.returncode == 0, train.stderr
        weights = tmp_path / "work_dirs" / "config" / "epoch_1.pth"
        out = ["--out", "o/results.json", "--work-dir", "test"]
        test = python(ROOT / "tools" / "test.py", TINY, weights, *out, *options, cwd=tmp_path)
        assert test.returncode == 0, test.stderr
        assert (tmp_path / "o" / "results.bbox.json").is_file()
        assert (tmp_path / "test").is_dir()

    def test_a_mistake_is_one_line_and_exit_code_2(self, tmp_path):
        result = python(
            ROOT / "tools" / "train.py", TINY, "--cfg-options", "norm_cfg.type=XX", cwd=tmp_path
        )
        assert result.returncode == 2
        lines = result.stderr.strip().splitlines()
        assert lines[-1].startswith("error: ")
        assert "XX" in lines[-1]
        assert "Traceback" not in result.stderr
        assert not any(tmp_path.iterdir())

    @pytest.mark.slow
    def test_batch_average(self, trained, tmp_path):
        tool = ROOT / "tools" / "batch_average.py"
        options = ["--out", "b.pth", "--num-batches", "2", "--work-dir", "log"]
        result = python(tool, TINY, trained, *options, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert MOMENTUM_STATISTICS in load_file(tmp_path / "b.pth")
        again = python(tool, TINY, trained, *options, cwd=tmp_path)
        assert again.returncode == 2
        assert again.stderr.splitlines()[-1].startswith("error: b.pth exists")

    @pytest.mark.parametrize("tool", ["train.py", "test.py", "batch_average.py"])
    def test_without_the_packages_it_says_how_to_install(self, tool, tmp_path):
        result = python(ROOT / "tools" / tool, "--help", cwd=tmp_path, isolated=True)
        assert result.returncode == 1
        assert "make install" in result.stderr
        assert "Traceback" not in result.stderr
