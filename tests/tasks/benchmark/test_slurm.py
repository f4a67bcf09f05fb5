"""Runs as job arrays: what sbatch is given, and what its jobs do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from tasks.benchmark import slurm
from tasks.benchmark.plan import ROOT
from tasks.benchmark.record import State, read_record, state_of
from tasks.benchmark.slurm import RunJob, SlurmOptions, submit
from tasks.benchmark.training import Training
from tests.processes import wait_until
from tests.tasks.benchmark.runs import METRICS, script_run, write_weights

OPTIONS = SlurmOptions("gpu")


def test_arrays_wait_for_those_that_they_need(cluster, tmp_path):
    first = [script_run(tmp_path, "true", name, processes=2) for name in "ab"]
    needy = [
        script_run(tmp_path, "true", name, processes=2, needs=[run])
        for name, run in zip("cd", first, strict=True)
    ]
    big = script_run(tmp_path, "true", "e", processes=8)
    done = script_run(tmp_path, METRICS, "f")
    RunJob(done, "mine", 0)()

    options = SlurmOptions(
        "gpu", minutes=90, cpus_per_gpu=3, parallel=5, setup=("module load x",),
        extra={"account": "vision"},
    )  # fmt: skip
    arrays = list(submit([*first, *needy, big, done], "mine", tmp_path / "slurm", options))
    assert [array.number for array in arrays] == ["100", "101", "102"]
    assert [array.after for array in arrays] == [(), (), ("100",)]
    assert [[run.model for run in array.runs] for array in arrays] == [
        ["a", "b"],
        ["e"],
        ["c", "d"],
    ]
    scripts = cluster()
    for words in (
        "--array=0-1%2", "--partition=gpu", "--gpus-per-node=2", "--cpus-per-task=6", "--time=90",
        "--account=vision", "--signal=USR2@300", "module load x", "benchmark-mine",
    ):  # fmt: skip
        assert words in scripts["100"], words
    assert "dependency" not in scripts["100"] + scripts["101"]
    assert "--gpus-per-node=8" in scripts["101"]
    assert "--dependency=afterany:100" in scripts["102"]
    assert (tmp_path / "slurm").stat().st_mode & 0o077 == 0, "pickles are for nobody else"


def test_further_options(cluster, tmp_path):
    first = script_run(tmp_path, "true")
    extra = {"dependency": "afterok:7", "exclusive": True}
    runs = [first, script_run(tmp_path, "true", "b", needs=[first])]
    list(submit(runs, "mine", tmp_path / "slurm", SlurmOptions("gpu", extra=extra)))
    assert "--dependency=afterok:7,afterany:100" in cluster()["101"]
    assert "#SBATCH --exclusive\n" in cluster()["101"]


def test_what_is_queued_is_not_submitted_again(cluster, tmp_path):
    squeue = tmp_path / "bin/squeue"
    squeue.write_text("#!/bin/bash\necho 100_1\n")
    squeue.chmod(0o755)
    with pytest.raises(
        RuntimeError, match=r"queued or run: 100_1; .*scancel --name benchmark-mine"
    ):
        list(submit([script_run(tmp_path, "true")], "mine", tmp_path / "slurm", OPTIONS))
    assert cluster() == {}


def test_a_task_of_an_array_does_its_run(cluster, tmp_path):
    runs = [script_run(tmp_path, f"echo {name}; {METRICS}", name) for name in "ab"]
    list(submit(runs, "mine", tmp_path / "slurm", OPTIONS))
    environment = {
        "SUBMITIT_EXECUTOR": "slurm",
        "SLURM_JOB_ID": "7",
        "SLURM_ARRAY_JOB_ID": "100",
        "SLURM_ARRAY_TASK_ID": "1",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": "0",
        "SLURM_NTASKS": "1",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_JOB_NODELIST": "here",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "submitit.core._submit", str(tmp_path / "slurm")]
    subprocess.run(command, env=os.environ | environment, cwd=ROOT, check=True, timeout=200)
    assert [state_of(run) for run in runs] == [State.NEW, State.DONE]
    assert (tmp_path / "b/output.txt").read_text() == "b\n"


def test_without_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"Slurm does not take the runs: .*srun"):
        list(submit([script_run(tmp_path, "true")], "mine", tmp_path / "slurm", OPTIONS))


class TestJob:
    def test_says_what_it_lacks(self, tmp_path):
        need = script_run(tmp_path, "exit 1", "b")
        with pytest.raises(RuntimeError, match="a, SN, seed 0 needs b, SN, seed 0, which is not"):
            RunJob(script_run(tmp_path, "true", needs=[need]), "mine", retries=2)()

    def test_names_the_weights_of_what_it_needs(self, tmp_path):
        """A job may end between its last metrics and that."""
        need = script_run(tmp_path, METRICS, "b")
        RunJob(need, "mine", retries=0)()
        write_weights(need.work_dir / "epoch_1.pth", 1)
        (need.work_dir / "last_checkpoint").write_text(str(need.work_dir / "epoch_1.pth"))
        weights = need.work_dir / "weights.pth"
        run = script_run(tmp_path, f"cat {weights} && {METRICS}", needs=[need])
        RunJob(run, "mine", retries=0)()
        assert os.readlink(weights) == "epoch_1.pth"

    def test_starts_anew_from_weights_that_have_changed(self, tmp_path, capsys):
        need = script_run(tmp_path, METRICS, "b")
        weights = need.work_dir / "weights.pth"
        write_weights(weights, 1)
        RunJob(need, "mine", retries=0)()
        run = script_run(tmp_path, f"ls >> found; {METRICS}", needs=[need], load_from=str(weights))
        for value in (1, 1, 2):
            write_weights(weights, value)
            RunJob(run, "mine", retries=0)()
        assert (run.work_dir / "found").read_text() == (tmp_path / "a-1/found").read_text()
        assert "metrics.json" not in (run.work_dir / "found").read_text()
        assert not (tmp_path / "a-2").exists()
        assert len(read_record(run.work_dir).attempts) == 1
        assert "a, SN, seed 0 starts anew: it started from other weights" in capsys.readouterr().out

    def test_tries_again(self, tmp_path):
        run = script_run(tmp_path, f"[ -f begun ] || {{ touch begun; exit 1; }}; {METRICS}")
        RunJob(run, "mine", retries=1)()
        assert [attempt.exit_code for attempt in read_record(run.work_dir).attempts] == [1, 0]

    @pytest.mark.parametrize(("code", "starts"), [(1, 3), (2, 1)])
    def test_gives_up(self, tmp_path, code, starts):
        run = script_run(tmp_path, f"exit {code}")
        with pytest.raises(RuntimeError, match=rf"exit code {code}; see .*output\.txt"):
            RunJob(run, "mine", retries=2)()
        assert len(read_record(run.work_dir).attempts) == starts

    def test_saves_before_its_time_is_up(self, tmp_path, monkeypatch):
        """As submitit calls it: in a handler of a signal, while the job runs."""
        listen = "trap 'touch saved; exit 75' TERM; touch ready"
        run = script_run(tmp_path, f"{listen}; while :; do sleep 0.1; done")
        job = RunJob(run, "mine", retries=0)
        trainings, asked, again = [], [], []

        def start(*arguments):
            trainings.append(Training(*arguments))
            return trainings[-1]

        def pause(seconds):
            time.sleep(0.02)
            if not asked and (run.work_dir / "ready").is_file():
                asked.append(True)
                signal.raise_signal(signal.SIGUSR2)

        def answer(number, frame):
            again.append(job.checkpoint())
            raise SystemExit

        monkeypatch.setattr(slurm, "Training", start)
        monkeypatch.setattr(slurm, "time", SimpleNamespace(sleep=pause))
        before = signal.signal(signal.SIGUSR2, answer)
        try:
            with pytest.raises(SystemExit):
                job()
        finally:
            signal.signal(signal.SIGUSR2, before)
            for training in trainings:
                training.kill()
        assert (run.work_dir / "saved").is_file()
        assert again[0].function.run is run
        assert [attempt.exit_code for attempt in read_record(run.work_dir).attempts] == [75]

    def test_saves_where_the_signal_comes_during_the_start(self, tmp_path, monkeypatch):
        listen = "trap 'touch saved; exit 75' TERM; touch ready"
        run = script_run(tmp_path, f"{listen}; for _ in {{1..300}}; do sleep 0.1; done")
        job = RunJob(run, "mine", retries=0)
        trainings = []

        def start(*arguments):
            trainings.append(Training(*arguments))
            wait_until((run.work_dir / "ready").is_file)
            signal.raise_signal(signal.SIGUSR2)
            return trainings[-1]

        def answer(number, frame):
            job.checkpoint()
            raise SystemExit

        monkeypatch.setattr(slurm, "Training", start)
        before = signal.signal(signal.SIGUSR2, answer)
        try:
            with pytest.raises(SystemExit):
                job()
            assert (run.work_dir / "saved").is_file()
            assert trainings[0].poll() is not None
        finally:
            signal.signal(signal.SIGUSR2, before)
            for training in trainings:
                training.kill()

    def test_its_training_gets_the_signals(self, tmp_path):
        numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
        run = script_run(tmp_path, f"grep ^Sig /proc/self/status > signals; {METRICS}")
        before = {number: signal.signal(number, lambda *_: None) for number in numbers}
        try:
            RunJob(run, "mine", retries=0)()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        masks = dict(
            line.split(":\t") for line in (run.work_dir / "signals").read_text().splitlines()
        )
        for number in numbers:
            for mask in ("SigBlk", "SigIgn"):
                assert not int(masks[mask], 16) & 1 << number - 1, (number, mask)
