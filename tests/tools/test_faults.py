"""Runs of two processes, one of which is killed, hangs, or is asked to end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import pytest

from tests.interruption import differences, last_checkpoint, train
from tests.processes import free_port, running

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "tiny" / "config.py"
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # as tools/dist_run.sh says
}
# Two epochs of four batches on each of two ranks, whose running statistics differ.
OPTIONS = {
    "train_dataloader.dataset.size": 16,
    "train_dataloader.sampler.shuffle": True,
    "model.backbone.norm_cfg.type": "SN",
}


def one_rank(rank, folder, stops):
    place = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, LOCAL_WORLD_SIZE=2)
    with mock.patch.dict(os.environ, {key: str(value) for key, value in place.items()}):
        for stop in (*stops, None):
            train(TINY, Path(folder), OPTIONS, stop=stop, launcher="pytorch", rank=1)
    return sorted(path.name for path in Path(folder).glob("interrupted*"))


@pytest.fixture
def whole(rank_pool, tmp_path):
    """The last checkpoint of a run that nothing has happened to."""
    rank_pool(2).run(one_rank, str(tmp_path / "whole"), ())
    return last_checkpoint(tmp_path / "whole")


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_all_stop_where_one_is_asked_to_and_go_on_exactly(stop, rank_pool, whole, tmp_path):
    left = rank_pool(2).run(one_rank, str(tmp_path / "parts"), (stop,))
    assert left == [[], []]
    assert differences(whole, last_checkpoint(tmp_path / "parts")) == []


def test_running_statistics_of_every_rank_are_kept(rank_pool, tmp_path):
    rank_pool(2).run(stop_early, str(tmp_path))
    first, second = last_checkpoint(tmp_path)["rank_buffers"]
    assert first == {}
    assert set(second) == {"backbone.norm.running_mean", "backbone.norm.running_var"}


def stop_early(rank, folder):
    place = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, LOCAL_WORLD_SIZE=2)
    with mock.patch.dict(os.environ, {key: str(value) for key, value in place.items()}):
        train(TINY, Path(folder), OPTIONS, stop=2, launcher="pytorch")


def test_another_number_of_ranks_goes_on_and_says_so(rank_pool, tmp_path):
    rank_pool(2).run(stop_early, str(tmp_path))
    runner = train(TINY, tmp_path, OPTIONS)
    text = Path(runner.log_dir, f"{runner.timestamp}.log").read_text()
    assert "1 processes, before 2: batches are composed differently" in text
    assert "an epoch has 8 iterations, in the run that is resumed it had 4" in text
    # Three of four batches of both ranks are six of eight of one.
    assert last_checkpoint(tmp_path)["meta"]["iter"] == 3 + 2 + 8


@pytest.fixture
def start(tmp_path):
    """Starts a training of two processes as tools/dist_train.sh does."""
    programs = ExitStack()

    def begin(fault, *arguments, restarts=0):
        config = tmp_path / "faulty.py"
        options = [f"{key}={value}" for key, value in OPTIONS.items()]
        config.write_text(
            f"_base_ = [{str(TINY)!r}]\n"
            "custom_imports = dict(imports=['tests.tiny.task', 'tests.interruption'])\n"
            f"custom_hooks = [{fault}]\n"
            "randomness = dict(seed=7)\n"
        )
        command = [sys.executable, ROOT / "tools" / "elastic_run.py", "--nproc-per-node=2"]
        command += ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{free_port()}"]
        command += ["--rdzv-id=it", f"--max-restarts={restarts}"]
        command += [ROOT / "tools" / "train.py", config, "--launcher", "pytorch"]
        command += ["--work-dir", tmp_path / "run", "--cfg-options", *options, *arguments]
        output = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        run = running(command, cwd=tmp_path, env=os.environ | ENVIRONMENT, **output)
        return programs.enter_context(run)

    with programs:
        yield begin


@pytest.mark.slow
def test_a_killed_rank_is_started_again_and_the_end_is_the_same(start, whole, tmp_path):
    run = start(dict(type="FailOnce", iteration=6, rank=1, kind="kill"), restarts=1)
    log, _ = run.communicate(timeout=250)
    assert run.returncode == 0, log
    assert f"started again: going on from {tmp_path / 'run' / 'epoch_1.pth'}" in log
    assert differences(whole, last_checkpoint(tmp_path / "run")) == []


@pytest.mark.slow
def test_a_rank_that_hangs_is_ended_with_the_name_of_the_collective(start):
    fault = dict(type="FailOnce", iteration=2, rank=1, kind="hang")
    run = start(fault, "env_cfg.dist_cfg.timeout=30")
    log, _ = run.communicate(timeout=250)
    assert run.returncode == 1, log
    last = log.rstrip().splitlines()[-1]

    assert re.search(r"no answer to (all_reduce|broadcast|a broadcast of Distributed)", last)
    assert "in iteration" in last
    assert "rank 0 of 2 waited, called at" in last


@pytest.mark.slow
def test_a_stop_waits_for_a_checkpoint_that_takes_long(start, tmp_path):
    """For longer than the rank that does not write takes to end, after which torchrun ends all.

    The signals go to the processes, so that the launcher does not wait for both.
    """
    stops = [f"dict(type='SignalAfter', iteration=3, rank={rank})" for rank in (0, 1)]
    run = start(", ".join([*stops, "dict(type='SlowToSave', seconds=4)"]))
    log, _ = run.communicate(timeout=250)
    assert run.returncode == 75, log
    pointer = Path((tmp_path / "run" / "last_checkpoint").read_text())
    assert pointer.name in ("interrupted_iter_3.pth", "interrupted_iter_4.pth")
    assert last_checkpoint(tmp_path / "run")["meta"]["iter"] in (3, 4)
    assert list((tmp_path / "run").glob(".*.pth.*")) == []


@pytest.mark.slow
def test_a_stop_that_cannot_save_is_an_error_of_all(start, tmp_path):
    """Since there are folders where the file is to go."""
    for iteration in (3, 4):
        (tmp_path / "run" / f"interrupted_iter_{iteration}.pth").mkdir(parents=True)
    stop = "dict(type='SignalAfter', iteration=3, rank=1)"
    run = start(f"{stop}, dict(type='SlowToSave', seconds=2)")
    log, _ = run.communicate(timeout=250)
    assert run.returncode == 2, log
    last = log.rstrip().splitlines()[-1]
    assert re.match(r"error \(rank [01]\): checkpoint .* cannot be written: .*Is a directory", last)
    assert "all is saved" not in log
    assert not (tmp_path / "run" / "last_checkpoint").exists()


@pytest.mark.slow
def test_a_signal_to_the_launcher_saves_and_ends_with_75(start, tmp_path):
    run = start("", "train_cfg.max_epochs=100000")
    for line in run.stdout:
        if re.search(r"Epoch\(train\) +\[ *2\]", line):
            break
    run.send_signal(signal.SIGTERM)
    log, _ = run.communicate(timeout=250)
    assert run.returncode == 75, log
    pointer = Path((tmp_path / "run" / "last_checkpoint").read_text())
    assert pointer.name.startswith("interrupted_iter_")
    assert pointer.is_file()
