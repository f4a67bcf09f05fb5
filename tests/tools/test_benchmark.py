"""tools/benchmark.py as a command, with real trainings of a tiny model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import running, wait_until

ROOT = Path(__file__).parents[2]
PLAN = """
norms: [BN, SN]
processes: 1
options:
  norm_cfg._delete_: True
  default_hooks.metrics.type: MetricsFileHook
  default_hooks.checkpoint.type: CheckpointHook
  default_hooks.checkpoint.interval: 1
  train_cfg.max_epochs: {epochs}
tasks:
  classification:
  - {{model: Tiny, config: tests/tiny/config.py}}
"""


@pytest.fixture
def plan(tmp_path):
    def written(epochs=1, text=PLAN):
        path = tmp_path / "mine.yaml"
        path.write_text(text.format(epochs=epochs))
        return path

    return written


def command(*arguments):
    return [sys.executable, "tools/benchmark.py", *arguments]


def run(*arguments, code=0):
    output = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with running(command(*arguments), cwd=ROOT, env=environment(), **output) as process:
        text, _ = process.communicate(timeout=250)
    assert process.returncode == code, text
    return text


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def test_a_dry_run_starts_nothing(plan, tmp_path):
    out = tmp_path / "out"
    text = run(plan(), "--out", out, "--dry-run", "--seeds", 0, 1, "--norms", "SN", "GN")
    commands = [line for line in text.splitlines() if line.startswith("tools/dist_train.sh")]
    assert len(commands) == 4
    assert "norm_cfg.type=GN" in commands[1]
    assert "randomness.seed=1" in commands[2]
    assert "4 runs, 4 to do: 4 of unknown duration" in text
    assert not out.exists()


def test_a_dry_run_for_a_cluster_shows_the_job_arrays(plan, tmp_path):
    text = run(plan(), "--out", tmp_path / "out", "--dry-run", "--slurm", "gpu")
    assert "job array 1: 2 runs of 1 GPU" in text.splitlines()


def test_every_problem_of_a_plan_before_anything_starts(plan, tmp_path):
    text = run(plan(text="tasks: {{claxification: [], face: [{{model: A, colour: 1}}]}}"), code=2)
    assert text.startswith(f"error: {tmp_path}/mine.yaml: 4 problems\n  - tasks: 'claxification'")
    assert "'colour' is unknown" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gpus", "97", "--norms", "XN"], "2 problems\n  - --gpus names 97"),
        (["--gpus", "97"], "--gpus names 97"),
        (["--jobs", "0"], "--jobs"),
        ([], "plans here: demo"),
    ],
)
def test_wrong_arguments(plan, arguments, words):
    name = plan() if arguments else "no"
    text = run(name, *arguments, code=2)
    assert words in text
    assert "Traceback" not in text


@pytest.mark.slow
def test_runs_are_done_once_and_reported(plan, tmp_path):
    out = tmp_path / "out"
    text = run(plan(), "--out", out)
    for norm in ("BN", "SN"):
        assert f"classification: Tiny, {norm}, seed 0: done" in text
        work_dir = out / f"classification/config_{norm.lower()}_seed0"
        metrics = json.loads((work_dir / "metrics.json").read_text())
        assert metrics["iterations"] == metrics["max_iterations"] == metrics["evaluated_at"] == 4
        assert metrics["run"]["norm"] == norm
        assert (work_dir / "weights.pth").is_file()
    page = (out / "report.html").read_text()
    assert "Tiny" in page
    assert (out / "report.md").is_file()
    again = run(plan(), "--out", out)
    assert "running" not in again
    assert "Classification" in again

    other = run(plan(epochs=2), "--out", out, code=2)
    assert "holds a run with other settings: train_cfg.max_epochs=1 there" in other


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_what_is_interrupted_goes_on(plan, tmp_path, number, code):
    out = tmp_path / "out"
    arguments = (plan(epochs=60), "--out", out, "--norms", "SN")
    work_dir = out / "classification/config_sn_seed0"
    with running(command(*arguments), cwd=ROOT, env=environment()) as process:
        wait_until(lambda: list(work_dir.glob("epoch_*.pth")) or process.poll() is not None, 200)
        process.send_signal(number)
        assert process.wait(200) == code
    assert list(work_dir.glob("interrupted_iter_*.pth"))

    run(*arguments)
    attempts = json.loads((work_dir / "benchmark.json").read_text())["attempts"]
    assert [attempt["exit_code"] for attempt in attempts] == [75, 0]
    assert "resumed epoch" in (work_dir / "output.txt").read_text()
