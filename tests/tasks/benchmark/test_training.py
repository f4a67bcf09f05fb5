"""The processes of a run: what they print, how they end, and how they are ended."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tasks.benchmark.training import OUTPUT, Training, last_words, progress_of
from tests.processes import wait_until
from tests.tasks.benchmark.runs import make_run


@pytest.fixture
def start(tmp_path):
    """Starts a shell script as a training."""
    started = []

    def started_with(script, **environment):
        run = make_run(tmp_path)
        run.work_dir.mkdir(exist_ok=True)
        started.append(Training(run, ["bash", "-c", script], environment))
        return started[-1]

    yield started_with
    for training in started:
        training.kill()


def wait(training):
    return wait_until(training.poll)


def text_of(path):
    """What a file holds, nothing where there is none."""
    try:
        return path.read_text()
    except OSError:
        return ""


def test_output_and_exit_code_are_kept(start, tmp_path):
    assert wait(start("echo one $COLOUR; exit 3", COLOUR="red")).exit_code == 3
    begin = time.monotonic()
    attempt = wait(start("echo two >&2; sleep 0.3"))
    assert attempt.exit_code == 0
    assert 0.3 <= attempt.seconds < time.monotonic() - begin + 0.1
    assert (tmp_path / "a" / OUTPUT).read_text() == "one red\ntwo\n"
    assert last_words(tmp_path / "a", 1) == "two"


def test_stopping_lets_it_save(start):
    training = start("trap 'echo saved; exit 75' TERM; echo ready; while :; do sleep 0.05; done")
    wait_until(lambda: "ready" in last_words(training.run.work_dir))
    training.stop()
    assert wait(training).exit_code == 75
    assert "saved" in last_words(training.run.work_dir)


def test_killing_ends_its_children_too(start, tmp_path):
    # In a session of its own, as torchrun starts its workers.
    child_of = f"setsid sleep 600 & echo $! > {tmp_path}/child"
    # It does not end by itself when its children have been killed.
    training = start(f"trap '' TERM; (trap '' TERM; {child_of}; wait) & while :; do wait; done")
    wait_until(lambda: text_of(tmp_path / "child").endswith("\n"))
    child = int(text_of(tmp_path / "child"))
    try:
        training.kill()
        assert wait(training).exit_code == -9
        status = Path(f"/proc/{child}/status")
        wait_until(lambda: "zombie" in text_of(status) or not status.exists())
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def test_progress_is_that_of_this_start(start, tmp_path):
    wait(start("echo 'Iter(train) [ 8/9]  loss: 1.0'"))
    told = "echo 'Iter(train) [ 2/9]  loss: 3.0'; echo other; sleep 600"
    training = start(f"until [ -f {tmp_path}/go ]; do sleep 0.02; done; {told}")
    assert training.progress == "starting"
    (tmp_path / "go").touch()
    wait_until(lambda: training.progress != "starting")
    assert training.progress == "iteration 2 of 9, loss 3.0"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "11/28 13:45 - mmengine - INFO - Iter(train) [ 10/160]  lr: 1e-2  eta: 0:01:02  "
            "time: 0.4  loss: 1.2345",
            "iteration 10 of 160, loss 1.2345, 0:01:02 left",
        ),
        (
            "Epoch(train) [3][ 20/90]  eta: 1 day, 2:00:17  time: 1.2  loss: nan  acc: 3",
            "epoch 3, 20 of 90, loss nan, 1 day, 2:00:17 left",
        ),
        ("Epoch(val) [1][10/20]  (val)", "evaluating"),
        ("Load checkpoint", None),
    ],
)
def test_progress_is_read_from_the_log(line, words):
    assert progress_of(line) == words
