"""What a terminal, and a log file, show of a benchmark."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tasks.benchmark.devices import Devices
from tasks.benchmark.local import run_here
from tests.tasks.benchmark.runs import METRICS, Script, make_run, script_run


@pytest.fixture
def output():
    return io.StringIO()


def test_lines_where_there_is_no_terminal(tmp_path, output):
    runs = [make_run(tmp_path, name) for name in "ab"]
    console = Console(file=output, width=200)
    run_here(runs, "mine", Devices(), retries=1, console=console, start=Script({"a": [1]}))
    assert output.getvalue().splitlines() == [
        "[1/2] classification: a, SN, seed 0: running",
        "[1/2] classification: a, SN, seed 0: waiting 2 s (exit code 1; tried again)",
        "[2/2] classification: b, SN, seed 0: running",
        "[2/2] classification: b, SN, seed 0: done 2 s",
        "[1/2] classification: a, SN, seed 0: running",
        "[1/2] classification: a, SN, seed 0: done 2 s",
    ]


def test_the_last_words_of_what_fails(tmp_path, output):
    run = script_run(tmp_path, "echo the reason; exit 2")
    run_here([run], "mine", Devices(), console=Console(file=output, width=300))
    assert "the reason" in output.getvalue()
    assert f"whole output: {tmp_path}/a/output.txt" in output.getvalue()


def test_a_table_on_a_terminal(tmp_path, output):
    runs = [
        script_run(
            tmp_path,
            f"echo 'Iter(train) [ 3/9] eta: 0:00:04  loss: 1.5'; sleep 1.2; {METRICS}",
            f"model{number}",
            minutes=1,
        )
        for number in range(2)
    ]
    console = Console(file=output, width=120, height=30, force_terminal=True)
    run_here(runs, "mine", Devices(jobs=2), console=console)
    text = output.getvalue()
    for words in ("iteration 3 of 9, loss 1.5, 0:00:04 left", "2 running", "2 done", "left"):
        assert words in text, words


def test_of_many_runs_those_around_what_runs(tmp_path, output):
    runs = [make_run(tmp_path, f"model{number:02}") for number in range(40)]
    console = Console(file=output, width=120, height=20, force_terminal=True)
    run_here(runs, "mine", Devices(jobs=40), console=console, start=Script(looks=4))
    assert "26 more" in output.getvalue()
