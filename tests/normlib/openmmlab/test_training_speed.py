"""The loader and the training step of a config, timed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.training_speed import NormSpeed, TrainingSpeed, measure_training_speed
from tests.tiny import task

TINY = str(Path(__file__).parents[2] / "tiny" / "config.py")


def test_every_norm_is_timed_against_the_first():
    speed = measure_training_speed(TINY, ("BN", "SN", "SSN"), rounds=3, batches=2)
    assert [s.norm for s in speed.norms] == ["BN", "SN", "SSN"]
    assert speed.norms[0].to_first == 1
    for s in speed.norms:
        assert s.images_per_second == pytest.approx(2e3 / s.milliseconds)
    assert (speed.batch_size, speed.workers) == (2, 0)
    assert "training step, SSN" in speed.report()


@pytest.mark.parametrize("workers", [0, 1])
def test_the_loader_is_timed_alone(workers, monkeypatch):
    item = task.TinyData.__getitem__

    def slow(self, index):
        time.sleep(0.02)
        return item(self, index)

    monkeypatch.setattr(task.TinyData, "__getitem__", slow)
    options = {"train_dataloader.num_workers": workers}
    speed = measure_training_speed(TINY, ("BN",), rounds=1, batches=6, options=options)
    # One sample after the other takes 20 ms at least, on a busy machine more.
    assert 0 < speed.loader_images_per_second < 51
    assert speed.workers == workers


def test_the_report():
    norms = [NormSpeed("BN", 10.0, 200.0, 1.0), NormSpeed("SN", 12.5, 160.0, 1.25)]
    lines = TrainingSpeed(2, 4, 500.0, norms, "cpu", 2).report().splitlines()
    assert lines[0].split("|")[1:-1] == [
        "                         ",
        " images/s ",
        " ms a step ",
        " x BN ",
    ]
    assert "| loader alone, 4 workers | 500.0    |" in lines[2]
    assert "| 160.0    | 12.5      | 1.25 |" in lines[4]
    assert lines[-1] == (
        "Batch of 2 on CPU, 2 threads. The loader gives 2.5 times what the fastest model takes."
    )


@pytest.mark.parametrize(
    ("workers", "loaded", "sentence"),
    [
        (4, 100.0, "The loader is the bottleneck: it gives 0.50 of what the fastest model takes; "),
        (4, 400.0, "The loader gives 2.0 times what the fastest model takes."),
        (0, 600.0, "Loading takes 25% of the time of the fastest training."),
    ],
)
def test_what_limits_the_training(workers, loaded, sentence):
    norms = [NormSpeed("BN", 10.0, 200.0, 1.0), NormSpeed("SN", 12.5, 160.0, 1.25)]
    assert sentence in TrainingSpeed(2, workers, loaded, norms, "cpu", 2).report()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(rounds=0), "rounds is 0"),
        (dict(norms=("BN", "XX")), "'XX', which is no norm"),
        (dict(options={"train_dataloader": None}), "has no train_dataloader"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(ConfigError, match=message):
        measure_training_speed(TINY, **arguments)
