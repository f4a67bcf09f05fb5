"""Signals to a benchmark, and failures of its own."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from rich.console import Console

from tasks.benchmark.devices import Devices
from tasks.benchmark.local import Interrupted, run_here
from tests.tasks.benchmark.runs import Script, make_run


def send(*signals, after=0.5, apart=0.01):
    """Signal this process from another thread."""
    for place, number in enumerate(signals):
        timer = threading.Timer(after + place * apart, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()


class Slow(Script):
    """Trainings that go on until they are asked to end, or longer."""

    def __init__(self, listens=True):
        super().__init__(looks=10**6)
        self.asked = []
        self.listens = listens

    def __call__(self, run, command, environment):
        training = super().__call__(run, command, environment)
        stop, kill = training.stop, training.kill

        def note(word, do):
            self.asked.append(word)
            if word == "kill" or self.listens:
                do()

        training.stop = lambda: note("stop", stop)
        training.kill = lambda: note("kill", kill)
        return training


@pytest.mark.parametrize(
    "signals",
    [
        [signal.SIGINT], [signal.SIGTERM], [signal.SIGHUP],
        [signal.SIGTERM, signal.SIGTERM], [signal.SIGINT, signal.SIGINT],
    ],
    ids=str,
)  # fmt: skip
def test_those_that_ask_have_what_runs_save_however_often_at_once(tmp_path, signals):
    script = Slow()
    send(*signals)
    with pytest.raises(Interrupted) as caught:
        run_here([make_run(tmp_path)], "mine", Devices(), console=Console(quiet=True), start=script)
    assert script.asked == ["stop"]
    assert caught.value.number == signals[0]


def test_a_later_interruption_ends_it_at_once(tmp_path):
    script = Slow(listens=False)
    send(signal.SIGINT, signal.SIGINT, apart=2.5)
    with pytest.raises(Interrupted):
        run_here([make_run(tmp_path)], "mine", Devices(), console=Console(quiet=True), start=script)
    assert script.asked[:2] == ["stop", "kill"]


def test_an_error_here_ends_what_runs(tmp_path):
    script = Slow()

    def start(run, command, environment):
        if run.model == "b":
            raise OSError(28, "No space left on device")
        return script(run, command, environment)

    runs = [make_run(tmp_path, name) for name in "ab"]
    with pytest.raises(OSError, match="No space left"):
        run_here(runs, "mine", Devices(jobs=2), console=Console(quiet=True), start=start)
    assert script.asked[0] == "stop"
