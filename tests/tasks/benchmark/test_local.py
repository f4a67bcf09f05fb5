"""Signals to a benchmark, and failures of its own."""

from __future__ import annotations

import math
import signal

import pytest
from rich.console import Console

from tasks.benchmark import local
from tasks.benchmark.devices import Devices
from tasks.benchmark.local import Interrupted, run_here
from tasks.benchmark.scheduler import Status
from tests.tasks.benchmark.runs import Script, make_run


class Slow(Script):
    """Trainings that go on until they are asked to end, or longer.

    Args:
        signals: This process gets those of the first item when a training is looked at first, and
            so on.
        listens: Whether trainings end when they are asked to.
    """

    def __init__(self, *signals, listens=True):
        super().__init__(looks=100)
        self.signals = iter(signals)
        self.handlers = {number: signal.getsignal(number) for group in signals for number in group}
        self.asked = []
        self.listens = listens

    def __call__(self, run, command, environment):
        training = super().__call__(run, command, environment)
        poll, stop, kill = training.poll, training.stop, training.kill

        def look():
            for number in next(self.signals, ()):
                assert signal.getsignal(number) is not self.handlers[number], "it would end pytest"
                signal.raise_signal(number)
            return poll()

        def note(word, do):
            self.asked.append(word)
            if word == "kill" or self.listens:
                do()

        training.poll = look
        training.stop = lambda: note("stop", stop)
        training.kill = lambda: note("kill", kill)
        return training


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(local, "_LOOK_SECONDS", 0.0)


@pytest.mark.parametrize(
    "signals",
    [
        [signal.SIGINT], [signal.SIGTERM], [signal.SIGHUP],
        [signal.SIGTERM, signal.SIGTERM], [signal.SIGINT, signal.SIGINT],
    ],
    ids=str,
)  # fmt: skip
def test_those_that_ask_have_what_runs_save_however_often_at_once(tmp_path, monkeypatch, signals):
    monkeypatch.setattr(local, "_SAME_REQUEST_SECONDS", math.inf)
    script = Slow(signals)
    with pytest.raises(Interrupted) as caught:
        run_here([make_run(tmp_path)], "mine", Devices(), console=Console(quiet=True), start=script)
    assert script.asked == ["stop"]
    assert caught.value.number == signals[0]


def test_a_later_interruption_ends_it_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "_SAME_REQUEST_SECONDS", 0.0)
    script = Slow([signal.SIGINT], [signal.SIGINT], listens=False)
    with pytest.raises(Interrupted):
        run_here([make_run(tmp_path)], "mine", Devices(), console=Console(quiet=True), start=script)
    assert script.asked[:2] == ["stop", "kill"]


def test_a_signal_after_the_last_run_has_ended_interrupts_nothing(tmp_path, monkeypatch):
    """As where the signal is handled just after the last run was found done."""
    script = Script()
    monkeypatch.setattr(local.time, "sleep", lambda _: signal.raise_signal(signal.SIGTERM))
    jobs = run_here(
        [make_run(tmp_path)], "mine", Devices(), console=Console(quiet=True), start=script
    )
    assert [job.status for job in jobs] == [Status.DONE]


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
