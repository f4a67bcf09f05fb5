"""Interrupted runs of a small model that draws random numbers wherever a model can."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import DATASETS, HOOKS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from normlib.openmmlab.errors import CheckpointError, TrainingInterrupted
from normlib.openmmlab.launch import build_runner, load_config
from tests.file_server import file_server
from tests.interruption import RUNS, differences, last_checkpoint, train, train_with_stops
from tests.tiny.task import TinyData, TinyModel

TINY = Path(__file__).parents[3] / "tiny" / "config.py"
# Two epochs of five batches, the last of which is smaller.
EPOCHS = {"train_dataloader.dataset.size": 9, "train_dataloader.sampler.shuffle": True}
ITERATIONS = {
    "train_cfg": dict(_delete_=True, type="IterBasedTrainLoop", max_iters=10, val_interval=4),
    "default_hooks.checkpoint": dict(type="CheckpointHook", interval=4, by_epoch=False),
    **EPOCHS,
}
INFINITE = ITERATIONS | {"train_dataloader.sampler.type": "InfiniteSampler"}
LOOPS = {"epochs": EPOCHS, "iterations": ITERATIONS, "infinite": INFINITE}


@DATASETS.register_module(force=True)
class NoisyData(TinyData):
    """Draws from every generator that augmentations use."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        noise = random.random() + np.random.rand() + torch.rand(())  # noqa: NPY002
        return sample | {"image": sample["image"] + noise.float()}


@MODELS.register_module(force=True)
class NoisyModel(TinyModel):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.head = nn.Sequential(nn.Dropout(0.3), self.head)

    def forward(self, image, label, mode="tensor"):
        if mode == "loss":
            image = image + np.random.rand() * random.random()  # noqa: NPY002
        return super().forward(image, label, mode)


@pytest.fixture
def options():
    return {"model.type": "NoisyModel", "train_dataloader.dataset.type": "NoisyData"}


def check(folder, options, stops, **others):
    train(TINY, folder / "whole", options)
    train_with_stops(TINY, folder / "parts", stops, options=options, **others)
    whole, parts = (last_checkpoint(folder / name) for name in ("whole", "parts"))
    assert whole["meta"]["iter"] == parts["meta"]["iter"] == 10
    assert differences(whole, parts) == []


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("stops", [[1], [3, 4], [5], [8, 9]], ids=str)
def test_at_any_iteration(loop, stops, options, tmp_path):
    check(tmp_path, options | LOOPS[loop], stops)


@pytest.mark.parametrize("norm", ["SN", "SSN"])
def test_norms(norm, options, tmp_path):
    check(tmp_path, options | EPOCHS | {"model.backbone.norm_cfg.type": norm}, [2, 7])


@pytest.mark.parametrize(
    "workers",
    [
        {"num_workers": 2},
        pytest.param({"num_workers": 1, "persistent_workers": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_workers_change_nothing(workers, options, tmp_path):
    """Nor does their number, which the whole run has otherwise."""
    train(TINY, tmp_path / "whole", options | EPOCHS)
    others = {f"train_dataloader.{key}": value for key, value in workers.items()}
    train(TINY, tmp_path / "parts", options | EPOCHS | others, stop=3)
    train(TINY, tmp_path / "parts", options | EPOCHS | others)
    assert differences(*(last_checkpoint(tmp_path / n) for n in ("whole", "parts"))) == []


def test_the_comparison_can_fail(options, tmp_path):
    for name, rate in (("one", 0.05), ("other", 0.05000001)):
        extra = {"optim_wrapper.optimizer.lr": rate}
        train(TINY, tmp_path / name, options | EPOCHS | extra)
    found = differences(*(last_checkpoint(tmp_path / name) for name in ("one", "other")))
    assert any("conv.weight" in where for where in found)


def test_every_epoch_and_sample_draws_anew(options, tmp_path):
    seen = []

    class Watched(NoisyData):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            seen.append((index, round(float(sample["image"].sum()), 4)))
            return sample

    DATASETS.register_module(name="Watched", module=Watched, force=True)
    train(TINY, tmp_path, options | EPOCHS | {"train_dataloader.dataset.type": "Watched"})
    # The last batch is filled up by none: nine samples, twice, each with other noise.
    assert len(seen) == len(set(seen)) == 18
    assert sorted(index for index, _ in seen) == sorted([*range(9)] * 2)


class TestSeed:
    def test_a_run_without_goes_on_with_the_one_it_drew(self, options, tmp_path):
        options = options | EPOCHS | {"randomness.seed": None}
        train(TINY, tmp_path / "parts", options, stop=3)
        seed = last_checkpoint(tmp_path / "parts")["meta"]["seed"]
        train(TINY, tmp_path / "parts", options)
        train(TINY, tmp_path / "whole", options | {"randomness.seed": seed})
        assert differences(*(last_checkpoint(tmp_path / n) for n in ("whole", "parts"))) == []

    def test_another_one_is_named(self, options, tmp_path):
        train(TINY, tmp_path, options | EPOCHS, stop=3)
        runner = train(TINY, tmp_path, options | EPOCHS | {"randomness.seed": 8})
        assert "randomness.seed is 8" in log(runner)
        assert runner.seed == 7

    def test_a_run_without_goes_on_with_the_one_of_an_address(self, options, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
        options = options | EPOCHS | {"randomness.seed": None}
        train(TINY, tmp_path / "first", options, stop=3)
        path = tmp_path / "first" / "interrupted_iter_3.pth"
        with file_server() as server:
            server.content = path.read_bytes()
            resume(server.url("run.pth"), tmp_path / "parts", options)
        seed = last_checkpoint(tmp_path / "first")["meta"]["seed"]
        train(TINY, tmp_path / "whole", options | {"randomness.seed": seed})
        assert differences(*(last_checkpoint(tmp_path / n) for n in ("whole", "parts"))) == []

    def test_weights_alone_have_none(self, options, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
        torch.save({"state_dict": {}}, tmp_path / "weights.pth")
        with file_server() as server:
            server.content = (tmp_path / "weights.pth").read_bytes()
            with pytest.raises(CheckpointError, match=r"--resume http.*weights.* load_from=http"):
                resume(server.url("weights.pth"), tmp_path / "run", options)


class TestHooks:
    @pytest.mark.parametrize("stop", [2, 5, 7])
    def test_hardening(self, stop, options, tmp_path):
        hook = [dict(type="HardenHook", begin=1)]
        norm = {"model.backbone.norm_cfg.type": "SN", "custom_hooks": hook}
        check(tmp_path, options | EPOCHS | norm, [stop])

    @pytest.mark.parametrize("loop", ["epochs", "infinite"])
    def test_batch_average(self, loop, options, tmp_path):
        hook = [dict(type="BatchAverageHook", num_batches=2)]
        check(tmp_path, options | LOOPS[loop] | {"custom_hooks": hook}, [3, 9])

    def test_averaged_weights(self, options, tmp_path):
        hook = [dict(type="EMAHook", momentum=0.1)]
        check(tmp_path, options | EPOCHS | {"custom_hooks": hook}, [4])


class TestValidation:
    """The one after an epoch is made up for if a run ended before it."""

    def test_is_made_up_for(self, options, tmp_path, monkeypatch):
        options = options | EPOCHS | {"default_hooks.metrics": dict(type="MetricsFileHook")}
        train(TINY, tmp_path, options)
        (tmp_path / "metrics.json").unlink()
        assert validations(train(TINY, tmp_path, options)) == 2
        assert (tmp_path / "metrics.json").is_file()

    def test_is_not_repeated(self, options, tmp_path):
        options = options | EPOCHS | {"default_hooks.metrics": dict(type="MetricsFileHook")}
        train(TINY, tmp_path, options)
        # The checkpoint was written before the second of two.
        assert validations(train(TINY, tmp_path, options)) == 1

    def test_a_kill_before_the_best_checkpoint_is_written(self, options, tmp_path):
        class Killed(BaseException):
            pass

        class Kill(Hook):
            priority = "LOW"  # after the metrics file, before the checkpoint

            def after_val_epoch(self, runner, metrics=None):
                raise Killed

        HOOKS.register_module(name="Kill", module=Kill, force=True)
        checkpoint = dict(type="CheckpointHook", interval=1, save_best="accuracy", rule="greater")
        options = options | EPOCHS | {"default_hooks.checkpoint": checkpoint}
        options |= {"default_hooks.metrics": dict(type="MetricsFileHook")}
        with pytest.raises(Killed):
            train(TINY, tmp_path, options | {"custom_hooks": [dict(type="Kill")]})
        assert not list(tmp_path.glob("best_*"))
        assert validations(train(TINY, tmp_path, options)) == 2
        assert len(list(tmp_path.glob("best_*"))) == 1

    def test_a_stop_before_it(self, options, tmp_path):
        """After the last iteration of the first epoch."""
        options = options | EPOCHS | {"default_hooks.metrics": dict(type="MetricsFileHook")}
        train(TINY, tmp_path, options, stop=5)
        assert validations(train(TINY, tmp_path, options)) == 2


class TestOtherwise:
    """What cannot be exact is told."""

    def test_batch_size(self, options, tmp_path):
        train(TINY, tmp_path, options | EPOCHS, stop=3)
        runner = train(TINY, tmp_path, options | EPOCHS | {"train_dataloader.batch_size": 4})
        text = log(runner)
        assert "this resume is not bit-exact: 4 samples a batch and process" in text
        # Three of five batches of two are as much as two of three of four.
        assert "Epoch(train) [1][2/3]" not in text
        assert "Epoch(train) [1][3/3]" in text

    def test_threads(self, options, tmp_path):
        train(TINY, tmp_path, options | EPOCHS, stop=3)
        before = torch.get_num_threads()
        torch.set_num_threads(before + 1)
        try:
            runner = train(TINY, tmp_path, options | EPOCHS)
        finally:
            torch.set_num_threads(before)
        assert f"threads {before + 1}, before {before}: sums are rounded otherwise" in log(runner)

    def test_nothing_is_told_where_all_is_as_before(self, options, tmp_path):
        train(TINY, tmp_path, options | EPOCHS, stop=3)
        assert "not bit-exact" not in log(train(TINY, tmp_path, options | EPOCHS))


def test_streams_are_read_past(options, tmp_path):
    """They have no sampler that could leave batches out."""

    class Stream(torch.utils.data.IterableDataset):
        metainfo = TinyData.metainfo

        def __len__(self):
            return 15  # less than the training reads

        def __iter__(self):
            return (TinyData()[index % 7] for index in range(len(self)))

    DATASETS.register_module(name="Stream", module=Stream, force=True)
    data = dict(_delete_=True, batch_size=2, num_workers=0, dataset=dict(type="Stream"))
    data |= dict(sampler=None, collate_fn=dict(type="default_collate"))
    options = options | {"train_cfg": ITERATIONS["train_cfg"], "train_dataloader": data}
    options |= {"default_hooks.checkpoint": ITERATIONS["default_hooks.checkpoint"]}
    check(tmp_path, options, [3])


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP])
def test_other_signals_stop_as_well(number, options, tmp_path):
    train(TINY, tmp_path, options | EPOCHS, stop=3, number=number)
    assert (tmp_path / "interrupted_iter_3.pth").is_file()


def test_a_signal_that_is_ignored_stays_so(options, tmp_path):
    """As SIGHUP is under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        hook = [dict(type="SignalAfter", iteration=3, number=signal.SIGHUP)]
        train(TINY, tmp_path, options | EPOCHS | {"custom_hooks": hook})
    finally:
        signal.signal(signal.SIGHUP, before)
    assert last_checkpoint(tmp_path)["meta"]["iter"] == 10


def test_handlers_are_put_back(options, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    train(TINY, tmp_path, options | EPOCHS)
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_last_two_interruptions_are_kept(options, tmp_path):
    for stop in (1, 2, 4):
        train(TINY, tmp_path, options | EPOCHS, stop=stop)
    names = sorted(path.name for path in tmp_path.glob("*.pth"))
    assert names == ["interrupted_iter_2.pth", "interrupted_iter_4.pth"]


def test_with_several_optimizers(options, tmp_path):
    @OPTIM_WRAPPER_CONSTRUCTORS.register_module(force=True)
    class Two:
        def __init__(self, optim_wrapper_cfg, paramwise_cfg=None):
            self.rate = optim_wrapper_cfg["optimizer"]["lr"]

        def __call__(self, model):
            parts = {"backbone": model.backbone, "head": model.head}
            return OptimWrapperDict(
                **{
                    name: OptimWrapper(torch.optim.SGD(part.parameters(), self.rate, momentum=0.9))
                    for name, part in parts.items()
                }
            )

    @MODELS.register_module(force=True)
    class WithTwo(NoisyModel):
        def train_step(self, data, optim_wrapper):
            loss = self(**data, mode="loss")["loss"]
            optim_wrapper.zero_grad()
            loss.backward()
            for wrapper in optim_wrapper.values():
                wrapper.step()
            return dict(loss=loss)

    options = options | EPOCHS | {"model.type": "WithTwo", "optim_wrapper.constructor": "Two"}
    check(tmp_path, options, [3])


def test_a_stop_is_told_with_the_way_on(options, tmp_path):
    cfg = load_config(TINY, options | EPOCHS | {"work_dir": str(tmp_path), "experiment_name": "t"})
    cfg.custom_hooks = [dict(type="SignalAfter", iteration=4)]
    with pytest.raises(TrainingInterrupted, match=r"after iteration 4 of 10; .*--resume"):
        build_runner(cfg).train()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def resume(checkpoint, folder, options):
    cfg = load_config(TINY, options | {"experiment_name": f"run{next(RUNS)}"})
    cfg.work_dir, cfg.resume, cfg.load_from = str(folder), True, checkpoint
    build_runner(cfg).train()


def validations(runner) -> int:
    """How many the log of a run tells of, those before the resume included."""
    return len(runner.message_hub.get_scalar("val/accuracy").data[0])


def log(runner) -> str:
    return Path(runner.log_dir, f"{runner.timestamp}.log").read_text()
