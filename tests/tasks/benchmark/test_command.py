"""What is said of a plan's runs, before and while they are done."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from tasks.benchmark.command import Prepared, benchmark, benchmark_on_slurm, describe, prepare
from tasks.benchmark.devices import Devices
from tasks.benchmark.plan import Plan, PlanError
from tasks.benchmark.slurm import SlurmOptions
from tests.tasks.benchmark.runs import METRICS, script_run, write_weights


@pytest.fixture
def prepared(tmp_path):
    """A run that makes weights, and one that starts from them."""
    made = tmp_path / "made.pth"
    write_weights(made, 1)
    weights = f"cp {made} epoch_1.pth || exit 2; echo epoch_1.pth > last_checkpoint"
    source = script_run(tmp_path, f"{weights}; {METRICS}", "a")
    start = str(source.work_dir / "weights.pth")
    run = script_run(tmp_path, METRICS, "b", needs=[source], load_from=start)
    return Prepared(Plan(Path("mine.yaml"), ()), tmp_path, (source, run))


def told(do, *arguments):
    text = io.StringIO()
    do(*arguments, Console(file=text, width=80))
    return text.getvalue()


def test_why_a_run_is_done_anew(prepared, tmp_path):
    text = told(benchmark, prepared, Devices())
    assert " anew" not in text
    shutil.rmtree(tmp_path / "a")
    write_weights(tmp_path / "made.pth", 2)

    why = (
        "it started from a, SN, seed 0, which has to be trained again (unless that gives the same "
        "weights)"
    )
    dry = told(describe, prepared, Devices())
    assert f"# classification: b, SN, seed 0: time unknown, anew: {why}\n" in dry
    assert "2 runs, 2 to do" in dry

    text = told(benchmark, prepared, Devices())
    line = f"classification: b, SN, seed 0 is to be done anew: {why}; what it has done will be kept"
    assert f"{line} beside {tmp_path}/b\n" in text
    assert "b, SN, seed 0: running (anew: it started from other weights than" in text
    assert f"what it had done is in {tmp_path}/b-1)" in text
    assert "b, SN, seed 0: done" in text


def test_what_is_outdated_and_was_not_done_anew(prepared, tmp_path):
    assert "outdated, and" not in told(benchmark, prepared, Devices())
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "made.pth").unlink()  # a fails
    text = told(benchmark, prepared, Devices())
    assert text.splitlines()[-1] == (
        "outdated, and not done anew: classification: b, SN, seed 0: it started from a, SN, seed "
        "0, which has to be trained again (unless that gives the same weights); the report has "
        "what it did before"
    )


@pytest.mark.parametrize("name", ["demo", "smoke"])
def test_own_plans_on_generated_data_need_no_more_than_one_gpu(name, tmp_path):
    found = prepare(name, tmp_path, devices=Devices([0]))
    assert {run.processes for run in found.runs} == {1}


def test_problems_of_the_command_the_plan_the_data_and_the_machine_at_once(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("""
norms: [SN]
processes: 4
data: {coco_data: /nope}
tasks:
  detection:
  - model: A
    config: configs/detection/toy/faster-rcnn_r18_fpn_toy.py
    options: {load_from: /no.pth}
  - {model: B, config: configs/detection/toy/mask-rcnn_r18_fpn_toy.py, norms: [XN]}
  - rows: [mine]
""")
    with pytest.raises(PlanError) as caught:
        prepare(str(path), tmp_path / "out", devices=Devices([0]), problems=["--gpus names 97"])
    expected = [
        "--gpus names 97",
        "tasks.detection[1]: norms: 'XN' is unknown",
        "tasks.detection: row 'mine' is not in tasks/detection/metafile.yml",
        "data.coco_data: /nope is not a folder",
        "detection: A, SN, seed 0 starts from /no.pth, which is not there",
        "detection: A, SN, seed 0 takes 4 GPUs, of which there are 1; change processes or",
    ]
    for words, problem in zip(expected, caught.value.problems, strict=True):
        assert words in problem

    with pytest.raises(PlanError) as caught:
        prepare(str(path), tmp_path / "out", needs_data=False, devices=Devices([0]))
    assert len(caught.value.problems) == 2


def test_why_a_run_is_submitted_again(prepared, tmp_path, monkeypatch):
    told(benchmark, prepared, Devices())
    write_weights(tmp_path / "a/epoch_1.pth", 2)
    submitted = []
    monkeypatch.setattr("tasks.benchmark.command.submit", lambda *a: submitted.append(a) or [])
    text = told(benchmark_on_slurm, prepared, SlurmOptions("gpu"))
    assert "b, SN, seed 0 is to be done anew: it started from other weights than" in text
    assert submitted
