"""The harness itself: what goes wrong must be told."""

from __future__ import annotations

import errno
import os
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.chaos import checkpoints, disk, fake_victim
from tests.chaos.attempts import Timeline
from tests.chaos.disk import FileLimit
from tests.chaos.kinds import KINDS
from tests.chaos.plan import plan
from tests.chaos.processes import Programs
from tests.chaos.report import Record, details, table
from tests.chaos.training import Baseline, Subject, Training

ROOT = Path(__file__).parents[2]
COUNT, SECONDS = fake_victim.ITERATIONS, fake_victim.SECONDS
SAVES = list(range(fake_victim.INTERVAL, COUNT + 1, fake_victim.INTERVAL))
TIMELINE = Timeline(0.1, [SECONDS] * COUNT, [SECONDS] * COUNT, SECONDS, SAVES)


def state(iteration, weight):
    return {
        "meta": {"iter": iteration},
        "state_dict": {"weight": torch.full((100,), weight)},
        "optimizer": {"state": {0: {"momentum": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]},
        "param_schedulers": [{"last_step": iteration}],
    }


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    folder = tmp_path_factory.mktemp("states")
    for iteration in range(1, COUNT + 1):
        torch.save(state(iteration, float(iteration)), folder / f"{iteration}.pth")
    torch.save(state(COUNT, COUNT + 1e-6), folder / "other.pth")
    return folder


@pytest.fixture
def hit(states, tmp_path):
    """Hits a fake training with a fault and gives the record."""
    programs = Programs()

    def run(mistake, kind):
        def command(work_dir, resume, workers):
            module = [sys.executable, "-m", "tests.chaos.fake_victim"]
            return [*module, str(work_dir), str(states), mistake, *["--resume"][: int(resume)]]

        subject = Subject("fake", command, {**os.environ, "PYTHONPATH": str(ROOT)})
        final = tmp_path / f"iter_{COUNT}.pth"
        final.write_bytes((states / f"{COUNT}.pth").read_bytes())
        for again in range(20):  # a fault may come too late on a busy machine
            training = Training(
                subject,
                Baseline(final, TIMELINE),
                tmp_path / f"run_{again}",
                programs,
                FileLimit(),
                random.Random(again),
            )
            if training.run([KINDS[kind]]):
                return training.records[0]
        raise AssertionError(f"{kind} has come too late twenty times")

    yield run
    programs.close()


class TestTraining:
    @pytest.mark.parametrize(
        "kind",
        [
            "SIGKILL",
            "SIGKILL while saving",
            "SIGTERM",
            "SIGTERM, then SIGKILL",
            "checkpoint truncated",
            "byte flipped",
            "last_checkpoint damaged",
        ],
    )
    def test_one_that_keeps_its_promises(self, hit, kind):
        record = hit("none", kind)

        assert record.kind == kind
        assert record.problems == []
        assert record.restarts >= 1

    def test_a_lost_checkpoint(self, hit):
        record = hit("lose", "SIGTERM")

        assert any("are there" in loss for loss in record.losses)

    def test_a_checkpoint_that_is_not_gone_on_from(self, hit):
        record = hit("forget", "SIGTERM")

        assert any("the next start began with 0" in loss for loss in record.losses)

    def test_a_divergence_of_one_bit(self, hit):
        record = hit("diverge", "SIGTERM")

        assert "state_dict.weight" in record.divergences[0]
        assert not record.losses

    def test_a_wrong_exit_code(self, hit):
        record = hit("code", "SIGTERM")

        assert "exit code 1, not 75, after SIGTERM" in record.troubles

    def test_a_damaged_checkpoint_that_is_not_named(self, hit):
        record = hit("silence", "checkpoint truncated")

        assert any("the log does not say" in trouble for trouble in record.troubles)


class TestDifferences:
    @pytest.fixture
    def pair(self, tmp_path):
        def save(**changes):
            torch.save(state(8, 1.0), tmp_path / "one.pth")
            torch.save(state(8, 1.0) | changes, tmp_path / "other.pth")
            return checkpoints.differences(tmp_path / "one.pth", tmp_path / "other.pth")

        return save

    def test_none(self, pair):
        assert pair(meta={"iter": 9}) == []

    def test_of_a_weight(self, pair):
        assert pair(state_dict={"weight": torch.full((100,), 1 + 2**-23)}) == ["state_dict.weight"]

    def test_of_a_schedule(self, pair):
        assert pair(param_schedulers=[{"last_step": 9}]) == ["param_schedulers.0.last_step"]

    def test_of_an_optimizer_without_momentum(self, pair):
        assert pair(optimizer={"state": {}, "param_groups": [{"lr": 0.1}]}) == ["optimizer.state"]


class TestPlan:
    def test_every_fault_is_dealt_once(self):
        planned = plan(["a", "b", "c"], 50, random.Random(1))
        dealt = [kind.name for one in planned for kind in one.kinds]

        assert len(dealt) == 50
        assert set(dealt) == set(KINDS)
        assert {one.task for one in planned} == {"a", "b", "c"}
        assert all(kind.ranks == one.ranks for one in planned for kind in one.kinds)

    def test_it_follows_from_the_seed(self):
        assert plan(["a", "b"], 9, random.Random(3)) == plan(["a", "b"], 9, random.Random(3))


class TestReport:
    def test_losses_and_divergences_are_counted(self, tmp_path):
        records = [
            Record("a", "kill", "", tmp_path, restarts=1, losses=["gone"]),
            Record("a", "kill", "", tmp_path, restarts=2),
            Record("b", "stop", "", tmp_path, restarts=1, divergences=["x", "y"], troubles=["z"]),
        ]

        lines = [
            [cell.strip() for cell in line.split("|")[1:-1]] for line in table(records).split("\n")
        ]

        assert lines[2:] == [
            ["a", "kill", "2", "3", "1", "0", "0"],
            ["b", "stop", "1", "1", "0", "2", "1"],
            ["all", "", "3", "4", "1", "2", "1"],
        ]
        assert "LOSS: gone" in details(records)


def test_a_disk_is_filled_while_a_training_writes_to_it(tmp_path, monkeypatch):
    size, written = 8 * 2**20, [3 * 2**20]  # by the training, while the filler is at it

    def free(folder):
        return SimpleNamespace(free=size - sum(path.stat().st_size for path in folder.iterdir()))

    def take(file, begin, count):
        if written:
            (tmp_path / "log").write_bytes(bytes(written.pop()))
            raise OSError(errno.ENOSPC, "No space left on device")
        os.truncate(file, begin + count)

    monkeypatch.setattr(disk, "_mount", lambda folder, size: None)
    monkeypatch.setattr(disk.shutil, "disk_usage", free)
    monkeypatch.setattr(disk.os, "posix_fallocate", take)
    disk.SmallDisk(tmp_path, size).fill(None, 5000)
    assert free(tmp_path).free == 5000
