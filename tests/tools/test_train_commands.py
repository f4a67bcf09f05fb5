"""tools/train.py and tools/test.py, as a user calls them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from normlib.openmmlab import commands
from normlib.openmmlab.errors import CheckpointError, ConfigError
from normlib.openmmlab.safe_loading import load_file

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
            (dict(tta=True), "no tta_model and no tta_pipeline"),
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


class TestDetectionOptions:
    """What --show-dir and --tta change in a config of mmdet."""

    @pytest.fixture
    def built(self, monkeypatch, tmp_path):
        """The config that the Runner is built from."""
        configs = []

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

    def test_out(self, built, tmp_path):
        out = str(tmp_path / "results.json")
        assert built(out=out).test_evaluator.outfile_prefix == str(tmp_path / "results")

    def test_tta(self, built):
        cfg = built(tta=True)
        assert cfg.model.type == "DetTTAModel"
        assert cfg.model.module.type == "FasterRCNN"
        assert cfg.test_dataloader.dataset.dataset.pipeline == ["augmented"]


class TestExitCode:
    def test_the_users_errors_are_one_line(self, capsys, monkeypatch):
        monkeypatch.delenv("RANK", raising=False)

        def command():
            raise ConfigError("norm_cfg.type is 'XX'")

        assert commands.exit_code(command) == 2
        assert capsys.readouterr().err == "error: norm_cfg.type is 'XX'\n"

    def test_another_rank_says_which(self, capsys, monkeypatch, tmp_path):
        monkeypatch.setenv("RANK", "3")
        monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))

        def command():
            raise CheckpointError("cut short")

        assert commands.exit_code(command) == 2
        assert capsys.readouterr().err == "error (rank 3): cut short\n"
        assert '"cut short"' in (tmp_path / "error.json").read_text()

    def test_an_error_from_a_dataloader_worker(self, capsys, monkeypatch):
        monkeypatch.delenv("RANK", raising=False)
        loader = torch.utils.data.DataLoader(Unreadable(), num_workers=1)
        assert commands.exit_code(lambda: next(iter(loader))) == 2
        assert capsys.readouterr().err == "error: image 7.jpg is truncated\n"

    def test_bugs_keep_their_traceback(self):
        with pytest.raises(ZeroDivisionError):
            commands.exit_code(lambda: 1 / 0)
        with pytest.raises(ValueError, match="anything"):
            commands.exit_code(lambda: int("anything"))

    def test_interrupts(self):
        def command():
            raise KeyboardInterrupt

        assert commands.exit_code(command) == 130
        assert commands.exit_code(lambda: None) == 0


class Unreadable(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise ConfigError("image 7.jpg is truncated")


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

    @pytest.mark.parametrize("tool", ["train.py", "test.py"])
    def test_without_the_packages_it_says_how_to_install(self, tool, tmp_path):
        result = python(ROOT / "tools" / tool, "--help", cwd=tmp_path, isolated=True)
        assert result.returncode == 1
        assert "make install" in result.stderr
        assert "Traceback" not in result.stderr
