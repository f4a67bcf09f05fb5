"""From a config file to a Runner: reading, defaults, devices, weights."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.config import Config
from mmengine.registry import FUNCTIONS
from torch import nn

import normlib
from normlib.openmmlab import processes
from normlib.openmmlab.errors import CheckpointError, ConfigError
from normlib.openmmlab.hooks import SparseScheduleHook
from normlib.openmmlab.launch import build_runner, load_config
from normlib.openmmlab.runner import CheckedRunner
from tests.processes import free_port

TINY = str(Path(__file__).parents[2] / "tiny" / "config.py")


@FUNCTIONS.register_module(force=True)
def double_batch(cfg):
    cfg.train_dataloader.batch_size *= 2


@FUNCTIONS.register_module(force=True)
def no_data(cfg):
    raise FileNotFoundError("data/coco is not there")


@FUNCTIONS.register_module(force=True)
def from_data(cfg):
    cfg.from_data = True
    if not cfg.get("data_there"):
        raise ValueError("data are not there")


from_data.reads_data = True


@pytest.fixture
def load(tmp_path):
    """Load the tiny config, with options, working in tmp_path."""
    count = itertools.count()

    def loaded(options=None, text=""):
        path = tmp_path / "tiny-sn.py"
        path.write_text(f"_base_ = [{TINY!r}]\n{text}")
        # Two runners of one name that start in the same second would share their records.
        name = f"{tmp_path.name}-{next(count)}"
        defaults = {"work_dir": str(tmp_path / "run"), "experiment_name": name}
        return load_config(path, {**defaults, **(options or {})})

    return loaded


@pytest.fixture
def train(load):
    def trained(options=None, text=""):
        runner = build_runner(load(options, text))
        runner.train()
        return runner

    return trained


def log_of(runner):
    return Path(runner.log_dir, f"{runner.timestamp}.log").read_text()


def losses_of(runner):
    return runner.message_hub.log_scalars["train/loss"].data[0].tolist()


class TestSparseNorms:
    def test_without_a_hook_of_the_config_the_radius_grows_all_the_same(self, load):
        runner = build_runner(load({"norm_cfg.type": "SSN"}))
        runner.train()
        layer = runner.model.backbone.norm
        assert float(layer.radius) == pytest.approx((runner.max_iters - 1) / runner.max_iters)
        assert log_of(runner).count("no SparseScheduleHook: it is added") == 1

    def test_the_hook_of_the_config_is_the_only_one(self, load):
        hook = dict(type="SparseScheduleHook", interval=3)
        runner = build_runner(load({"norm_cfg.type": "SSN", "custom_hooks": [hook]}))
        schedules = [h for h in runner.hooks if isinstance(h, SparseScheduleHook)]
        assert [h.interval for h in schedules] == [3]

    def test_other_norms_and_layers_that_do_not_learn_get_none(self, load):
        for norm in (dict(type="SN"), dict(type="SSN", requires_grad=False)):
            runner = build_runner(load({"norm_cfg": norm}))
            assert not any(isinstance(h, SparseScheduleHook) for h in runner.hooks)


class TestLoadConfig:
    def test_defaults(self, tmp_path):
        path = tmp_path / "tiny-sn.py"
        path.write_text(f"_base_ = [{TINY!r}]\n")
        cfg = load_config(str(path))
        assert cfg.work_dir == "work_dirs/tiny-sn"
        assert cfg.runner_type == "CheckedRunner"
        assert cfg.optim_wrapper.constructor == "SwitchNormOptimWrapperConstructor"

    def test_what_the_config_says_stays(self, load):
        constructor = "DefaultOptimWrapperConstructor"
        cfg = load({"optim_wrapper.constructor": constructor, "runner_type": "Runner"})
        assert cfg.optim_wrapper.constructor == constructor
        assert cfg.runner_type == "Runner"

    def test_options_come_before_the_file_and_may_be_new(self, load):
        cfg = load({"train_cfg.max_epochs": 7, "something_new.value": 1})
        assert cfg.train_cfg.max_epochs == 7
        assert cfg.something_new.value == 1

    def test_norm_cfg_reaches_the_model(self, load):
        assert load({"norm_cfg.type": "SN"}).model.backbone.norm_cfg.type == "SN"

    def test_rules_run_after_the_options(self, load):
        cfg = load({"train_dataloader.batch_size": 3}, "config_rules = ['double_batch']")
        assert cfg.train_dataloader.batch_size == 6

    @pytest.mark.parametrize(
        ("options", "text", "message"),
        [
            ({"norm_cfg.type": "XX"}, "", "XX"),
            ({}, "config_rules = ['no_rule']", "no_rule"),
            ({}, "config_rules = ['no_data']", "data/coco is not there"),
            ({}, "allow_missing_weights = 'fc'", "allow_missing_weights"),
            ({"data.0.x": 1, "train_cfg.max_epochs.x": 1}, "", "--cfg-options"),
            ({}, "model = dict(\n", "SyntaxError"),
            ({}, "model = undefined\n", "undefined"),
            ({}, "custom_imports = dict(imports=['no_such_module'])\n", "no_such_module"),
        ],
    )
    def test_errors_name_the_file(self, load, options, text, message):
        with pytest.raises(ConfigError) as caught:
            load(options, text)
        assert message in str(caught.value)
        assert "tiny-sn.py" in str(caught.value)

    def test_a_missing_base(self, tmp_path):
        (tmp_path / "tiny-sn.py").write_text("_base_ = ['absent.py']\n")
        with pytest.raises(ConfigError, match=r"tiny-sn\.py.*absent\.py"):
            load_config(tmp_path / "tiny-sn.py")

    def test_a_missing_file(self):
        with pytest.raises(ConfigError, match=r"configs/absent\.py does not exist"):
            load_config("configs/absent.py")

    @pytest.mark.parametrize("there", [True, False])
    def test_what_needs_no_data_does_without(self, there, tmp_path):
        path = tmp_path / "config.py"
        path.write_text(f"config_rules = ['from_data']\ndata_there = {there}\n")
        cfg = load_config(path, needs_data=False)
        assert cfg.get("from_data", False) is there
        if not there:
            with pytest.raises(ConfigError, match="data are not there"):
                load_config(path)


class TestBuildRunner:
    def test_the_log_says_norms_and_backend(self, load):
        runner = build_runner(load({"norm_cfg.type": "SN"}))
        log = log_of(runner)
        assert log.count("norm layers:") == 1
        assert f"normlib backend: {normlib.backend().name}" in log

    def test_the_config_in_the_work_directory_is_the_users(self, load, tmp_path):
        build_runner(load({"optim_wrapper.type": "AmpOptimWrapper"}))
        dumped = Config.fromfile(tmp_path / "run" / "tiny-sn.py")
        assert dumped.optim_wrapper.type == "AmpOptimWrapper"
        assert dumped.env_cfg.dist_cfg.backend == "nccl"
        assert "model_wrapper_cfg" not in dumped
        assert "norm_changes" not in dumped

    def test_a_work_directory_that_cannot_be_made(self, load, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(ConfigError, match="work_dir"):
            build_runner(load({"work_dir": str(tmp_path / "file" / "run")}))

    @pytest.mark.parametrize("launcher", ["pytorch", "slurm", "mpi"])
    def test_a_launcher_that_has_not_launched(self, load, launcher, monkeypatch):
        for name in list(os.environ):
            if name.startswith(("RANK", "LOCAL_", "WORLD_", "SLURM_", "OMPI_")):
                monkeypatch.delenv(name)
        with pytest.raises(ConfigError, match=f"--launcher {launcher}.*start through"):
            build_runner(load(), launcher)

    def test_an_unknown_launcher(self, load):
        with pytest.raises(ConfigError, match=r"'ssh' is none of none, pytorch, slurm, mpi"):
            build_runner(load(), "ssh")


class TestTraining:
    def test_the_seed_decides(self, train, tmp_path):
        runs = [
            train({"randomness.seed": seed, "work_dir": str(tmp_path / f"{i}")})
            for i, seed in enumerate([1, 1, 2])
        ]
        losses = [losses_of(run) for run in runs]
        assert len(losses[0]) == 8
        assert losses[0] == losses[1] != losses[2]

    def test_resuming_goes_on_as_if_nothing_had_happened(self, train, tmp_path):
        whole = train({"norm_cfg.type": "SN", "train_cfg.max_epochs": 3})
        first = str(tmp_path / "run" / "epoch_1.pth")
        options = {"work_dir": str(tmp_path / "rest"), "resume": True, "load_from": first}
        rest = train({"norm_cfg.type": "SN", "train_cfg.max_epochs": 3, **options})
        assert rest.iter == whole.iter == 12
        assert losses_of(rest) == losses_of(whole)
        for key, value in whole.model.state_dict().items():
            assert torch.equal(rest.model.state_dict()[key], value), key

    def test_a_run_leaves_the_best_checkpoint_of_the_run_it_goes_on_from(self, train, tmp_path):
        best = {
            "default_hooks.checkpoint": dict(
                type="CheckpointHook", save_best="count", rule="greater"
            ),
            "train_cfg.max_epochs": 1,
            "train_cfg.val_interval": 1,
        }
        train(best)
        (first,) = (tmp_path / "run").glob("best_*.pth")
        options = {"resume": True, "load_from": str(tmp_path / "run" / "epoch_1.pth")}
        train({**best, **options, "work_dir": str(tmp_path / "rest"), "train_cfg.max_epochs": 2})
        assert first.is_file()
        assert list((tmp_path / "rest").glob("best_*.pth"))

    def test_data_of_less_than_a_batch_are_an_error(self, train):
        with pytest.raises(ConfigError, match=r"no batch: its data set has 1 samples, a batch 2"):
            train({"train_dataloader.dataset.size": 1, "train_dataloader.drop_last": True})

    def test_auto_resume_takes_the_latest(self, train, tmp_path):
        train({"train_cfg.max_epochs": 1})
        runner = train({"train_cfg.max_epochs": 2, "resume": True})
        assert "epoch_1.pth" in log_of(runner)
        assert runner.epoch == 2

    def test_resuming_another_model_is_refused_even_if_its_weights_may_be_missing(
        self, train, tmp_path
    ):
        train()
        options = {"resume": True, "norm_cfg.type": "SN"}
        with pytest.raises(CheckpointError, match=r"mean_weight.*to resume"):
            train(options, "allow_missing_weights = ['norm']")

    def test_finetuning_from_weights_that_do_not_fit(self, train, tmp_path):
        train({"train_cfg.max_epochs": 1})
        options = {"load_from": str(tmp_path / "run" / "epoch_1.pth"), "norm_cfg.type": "SN"}
        with pytest.raises(CheckpointError, match=r"epoch_1\.pth.*norm\.mean_weight"):
            train(options)
        runner = train(options, "allow_missing_weights = ['mean_weight', 'var_weight']")
        assert runner.epoch == 2

    def test_init_cfg_gets_the_allowed_keys(self, train, tmp_path):
        torch.save({"conv.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "conv.pth")
        init_cfg = f"dict(type='Pretrained', checkpoint={str(tmp_path / 'conv.pth')!r})"
        text = f"model = dict(backbone=dict(init_cfg={init_cfg}))\n"
        with pytest.raises(CheckpointError, match=r"conv\.bias"):
            train({}, text)
        train({}, text + "allow_missing_weights = ['^norm', r'^conv\\.bias$']\n")

    def test_amp_on_the_cpu(self, train):
        runner = train({"optim_wrapper.type": "AmpOptimWrapper", "optim_wrapper.loss_scale": 512.0})
        assert type(runner.optim_wrapper).__name__ == "CPUAmpOptimWrapper"
        assert runner.model.head.weight.dtype == torch.float32

    def test_sync_bn_in_one_process_is_bn(self, train):
        runner = train({"norm_cfg.type": "SyncBN"}, "")
        assert not any(isinstance(m, nn.SyncBatchNorm) for m in runner.model.modules())


class TestProcesses:
    def test_place_of_torchrun(self):
        env = dict(RANK="5", LOCAL_RANK="1", WORLD_SIZE="8", LOCAL_WORLD_SIZE="4")
        assert processes.Place.of("pytorch", env) == processes.Place(5, 1, 8, 4)

    @pytest.mark.parametrize(("tasks", "local"), [("4(x2)", 4), ("3,5", 3), ("8", 8)])
    def test_place_of_slurm(self, tasks, local):
        env = dict(SLURM_PROCID="5", SLURM_LOCALID="1", SLURM_NTASKS="8")
        place = processes.Place.of("slurm", {**env, "SLURM_STEP_TASKS_PER_NODE": tasks})
        assert place == processes.Place(5, 1, 8, local)

    @pytest.mark.parametrize(
        ("nodes", "first"),
        [
            ("gpu7", "gpu7"),
            ("gpu7,gpu9", "gpu7"),
            ("gpu[03-05,9],login1", "gpu03"),
            ("gpu[12,14]-ib", "gpu12-ib"),
            ("rack[1-2]n[0-3]", "rack1n0"),
        ],
    )
    def test_first_node(self, nodes, first):
        assert processes.first_node(nodes) == first

    def test_more_processes_than_gpus(self, monkeypatch):
        env = dict(RANK="0", LOCAL_RANK="0", WORLD_SIZE="4", LOCAL_WORLD_SIZE="4")
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(processes, "get_device", lambda: "cuda")
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        with pytest.raises(ConfigError, match=r"4 processes.*2 GPUs"):
            processes.start("pytorch")


def one_of_two(rank, launcher, port, folder, norm, threads):
    """A process of a two-process training on the CPU."""
    os.environ.pop("OMP_NUM_THREADS", None)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    if threads:
        os.environ["OMP_NUM_THREADS"] = threads
    names = processes._VARIABLES[launcher]
    os.environ.update(zip(names, map(str, (rank, rank, 2, 2)), strict=True))
    os.sched_getaffinity = lambda pid: set(range(6))
    torch.set_num_threads(1)

    options = {"work_dir": folder, "norm_cfg.type": norm, "find_unused_parameters": True}
    cfg = load_config(TINY, options)
    try:
        runner = build_runner(cfg, launcher)
        runner.train()
    except ConfigError as error:
        Path(folder, f"error{rank}").write_text(str(error))
    else:
        report(runner, rank, folder)
        del runner
    processes.stop()
    assert not dist.is_initialized()


def report(runner, rank, folder):
    state = {
        "backend": dist.get_backend(),
        "size": dist.get_world_size(),
        "threads": torch.get_num_threads(),
        "find_unused": runner.model.find_unused_parameters,
        "broadcast_buffers": runner.model.broadcast_buffers,
        "weights": runner.model.module.state_dict(),
        "logged": log_of(runner).count("norm layers:") if rank == 0 else 0,
    }
    torch.save(state, Path(folder, f"state{rank}.pth"))


@pytest.mark.slow
class TestTwoProcesses:
    @pytest.fixture
    def run(self, tmp_path):
        def two(launcher="pytorch", norm="SyncSN", threads=None):
            args = (launcher, free_port(), str(tmp_path), norm, threads)
            mp.spawn(one_of_two, args, nprocs=2, daemon=True)
            return [torch.load(path) for path in sorted(tmp_path.glob("state*.pth"))]

        return two

    @pytest.mark.parametrize("launcher", ["pytorch", "slurm", "mpi"])
    def test_every_launcher_trains_one_model_on_gloo(self, run, launcher):
        first, second = run(launcher)
        assert first["backend"] == "gloo"
        assert first["size"] == 2
        assert first["threads"] == 3  # of six cores
        assert first["find_unused"]
        assert not first["broadcast_buffers"]
        assert first["logged"] == 1
        for key, value in first["weights"].items():
            assert torch.equal(value, second["weights"][key]), key

    def test_omp_num_threads_decides(self, run):
        assert [state["threads"] for state in run(threads="1")] == [1, 1]

    def test_sync_bn_is_refused_with_what_to_use(self, run, tmp_path):
        assert run(norm="SyncBN") == []
        for rank in range(2):
            assert "SyncSN or BN" in (tmp_path / f"error{rank}").read_text()


def test_checked_runner_is_a_runner_of_mmengine():
    from mmengine.runner import Runner

    assert issubclass(CheckedRunner, Runner)
