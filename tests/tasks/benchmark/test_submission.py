"""What is submitted to Slurm, what is refused, and where the jobs are kept."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tasks.benchmark.command import Prepared, benchmark_on_slurm
from tasks.benchmark.plan import ROOT, Plan
from tasks.benchmark.record import State, state_of
from tasks.benchmark.slurm import SlurmOptions, foresee, submit
from tests.tasks.benchmark.runs import make_run, script_run, write_metrics

OPTIONS = SlurmOptions("gpu")


def test_a_refusal_keeps_nothing_else_from_slurm(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("REFUSED", "4")
    first = script_run(tmp_path, "true", "a")
    refused = script_run(tmp_path, "true", "b", processes=4)
    runs = [first, refused]
    for name, needs in {"c": [first], "d": [refused], "e": [first, refused]}.items():
        runs.append(script_run(tmp_path, "true", name, needs=needs))
    runs.append(script_run(tmp_path, "true", "f", needs=[runs[3]], processes=2))
    told = io.StringIO()
    with pytest.raises(RuntimeError) as caught:
        benchmark_on_slurm(
            Prepared(Plan(Path("mine.yaml"), ()), tmp_path, tuple(runs)),
            OPTIONS,
            Console(file=told, width=80),
        )
    assert told.getvalue().splitlines()[:2] == [
        "job array 100: 1 run of 1 GPU",
        "job array 101: 1 run of 1 GPU, after 100",
    ]
    assert f"logs of the jobs: {tmp_path}/slurm\n" in told.getvalue()
    assert list(cluster()) == ["100", "101"]
    assert "--dependency=afterany:100" in cluster()["101"]
    assert str(caught.value).splitlines() == [
        "runs that are not submitted: 4",
        "- 1 run of 4 GPUs (b, SN, seed 0): "
        "sbatch: error: Requested node configuration is not available",
        "- 1 run of 1 GPU (d, SN, seed 0): needs b, SN, seed 0, not submitted either",
        "- 1 run of 1 GPU (e, SN, seed 0): needs b, SN, seed 0, not submitted either",
        "- 1 run of 2 GPUs (f, SN, seed 0): needs d, SN, seed 0, not submitted either",
        "The same command submits what fits, once no job of the plan is queued or runs.",
    ]


def test_arrays_are_told_as_slurm_gets_them(cluster, tmp_path):
    runs = [script_run(tmp_path, "true", str(gpus), processes=gpus) for gpus in (1, 2)]
    arrays = submit(runs, "mine", tmp_path / "slurm", OPTIONS)
    assert next(arrays).number == "100"
    assert list(cluster()) == ["100"]


class TestSeveralNodes:
    """Runs that have no room on one are for the user to start."""

    @pytest.fixture
    def runs(self, tmp_path):
        large = [
            make_run(tmp_path, f"large {gpus}", config="tests/tiny/config.py", processes=gpus)
            for gpus in (10, 16)
        ]
        return [*large, script_run(tmp_path, "true", "small", processes=8)]

    def test_they_are_named_and_the_rest_is_submitted(self, cluster, tmp_path, runs):
        arrays = submit(runs, "mine", tmp_path / "slurm", OPTIONS)
        assert [run.model for run in next(arrays).runs] == ["small"]
        with pytest.raises(RuntimeError) as caught:
            next(arrays)
        assert list(cluster()) == ["100"]
        for gpus in (10, 16):
            line = f"- 1 run of {gpus} GPUs (large {gpus}, SN, seed 0): a node has 8 (--slurm-gpus-"
            assert line in str(caught.value)
        roomy = SlurmOptions("gpu", gpus_per_node=16)
        arrays = list(submit(runs, "mine", tmp_path / "slurm", roomy))
        assert [array.runs[0].processes for array in arrays] == [8, 10, 16]

    @pytest.mark.parametrize(("gpus", "a_node"), [(10, 5), (16, 8)])
    def test_the_command_that_is_told_starts_them(self, cluster, tmp_path, runs, gpus, a_node):
        options = SlurmOptions(
            "gpu", minutes=90, cpus_per_gpu=3, extra={"account": "x", "no_kill": True}
        )
        with pytest.raises(RuntimeError) as caught:
            list(submit(runs, "mine", tmp_path / "slurm", options))
        lines = [line for line in str(caught.value).splitlines() if f"GPUS={gpus} " in line]
        srun = tmp_path / "bin/srun"
        srun.write_text(f"#!/bin/bash\nprintf '%s\\n' \"$@\" > {tmp_path}/given\n")
        subprocess.run(["bash", "-c", lines[0]], cwd=ROOT, check=True, timeout=60)
        given = (tmp_path / "given").read_text().splitlines()
        assert {
            "--partition=gpu", f"--job-name=large {gpus}", f"--ntasks={gpus}", "--time=90",
            f"--ntasks-per-node={a_node}", f"--gres=gpu:{a_node}", "--cpus-per-task=3",
            "--signal=USR1@300", "--account=x", "--no-kill",
        } <= set(given)  # fmt: skip
        script = given.index(str(ROOT / "tools/train.py"))
        assert given[script + 1 :] == [
            *("tests/tiny/config.py", "--launcher", "slurm"),
            *("--work-dir", str(tmp_path / f"large {gpus}"), "--resume", "--cfg-options", "k=1"),
        ]

    def test_what_is_done_by_hand_counts(self, cluster, tmp_path, runs):
        with pytest.raises(RuntimeError):
            list(submit(runs, "mine", tmp_path / "slurm", OPTIONS))
        assert [state_of(run) for run in runs] == [State.BEGUN, State.BEGUN, State.NEW]
        for run in runs[:2]:
            write_metrics(run.work_dir)
        arrays = submit(runs, "mine", tmp_path / "slurm", OPTIONS)
        assert [len(array.runs) for array in arrays] == [1]

    @pytest.mark.parametrize(
        ("gpus", "code", "words"),
        [(1, 1, "2 runs of 2 GPUs (Tiny, BN, seed 0; Tiny, SN, seed 0): a node has 1 ("),
         (0, 2, "--slurm-gpus-per-node: 0 is not a number from 1 up")],
    )  # fmt: skip
    def test_the_size_of_a_node_is_an_argument(self, cluster, tmp_path, gpus, code, words):
        plan = tmp_path / "mine.yaml"
        model = "{model: Tiny, config: tests/tiny/config.py, norms: [BN, SN], processes: 2}"
        plan.write_text(f"tasks: {{classification: [{model}]}}")
        arguments = [plan, "--out", tmp_path / "out", "--slurm", "gpu"]
        done = subprocess.run(
            [sys.executable, "tools/benchmark.py", *arguments, f"--slurm-gpus-per-node={gpus}"],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert words in done.stderr
        assert cluster() == {}

    def test_it_is_foreseen(self, cluster, tmp_path, runs):
        runs.append(script_run(tmp_path, "true", "b", needs=[runs[-1]], processes=8))
        lines = foresee(runs, OPTIONS)
        assert lines[:2] == [
            "job array 1: 1 run of 8 GPUs",
            "job array 2: 1 run of 8 GPUs, after 1",
        ]
        assert [line for line in lines[2].splitlines() if line.startswith("- ")] == [
            f"- 1 run of {gpus} GPUs (large {gpus}, SN, seed 0): "
            "a node has 8 (--slurm-gpus-per-node), and a job has one node; "
            "start by hand, in the project's root:"
            for gpus in (10, 16)
        ]
        assert cluster() == {}
        assert not any(run.work_dir.exists() for run in runs)


class TestFolder:
    """Jobs are unpickled from it, which executes what is in them."""

    def test_one_that_was_open_to_others_is_closed(self, cluster, tmp_path):
        folder = tmp_path / "slurm"
        folder.mkdir()
        folder.chmod(0o777)
        list(submit([script_run(tmp_path, "true")], "mine", folder, OPTIONS))
        assert folder.stat().st_mode & 0o7777 == 0o700

    @pytest.mark.parametrize("there", [True, False])
    def test_a_link_is_refused(self, cluster, tmp_path, there):
        target, folder = tmp_path / "elsewhere", tmp_path / "slurm"
        if there:
            target.mkdir()
        folder.symlink_to(target)
        with pytest.raises(PermissionError, match=rf"{folder} is a link, .*: remove it"):
            list(submit([script_run(tmp_path, "true")], "mine", folder, OPTIONS))
        assert cluster() == {}
        assert not there or list(target.iterdir()) == []

    @pytest.mark.parametrize("name", ["slurm", "slurm/100_submitted.pkl"])
    def test_what_is_another_users_is_refused(self, cluster, tmp_path, monkeypatch, name):
        folder, theirs, lstat = tmp_path / "slurm", tmp_path / name, Path.lstat
        folder.mkdir()
        (folder / "100_submitted.pkl").touch()

        def status_of(path):
            status = list(lstat(path))
            status[stat.ST_UID] += path == theirs
            return os.stat_result(status)

        monkeypatch.setattr(Path, "lstat", status_of)
        with pytest.raises(PermissionError, match=rf"{theirs} belongs to user \d+, .*: remove it"):
            list(submit([script_run(tmp_path, "true")], "mine", folder, OPTIONS))
        assert cluster() == {}
