"""Signals that wait for the end of a block."""

from __future__ import annotations

import signal

import pytest

from tasks.benchmark.held_signals import held_signals
from tests.processes import running

NUMBERS = (signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture
def came():
    """Signals that a handler was called for, in their order."""
    numbers = []
    before = {number: signal.getsignal(number) for number in NUMBERS}
    for number in NUMBERS:
        signal.signal(number, lambda number, _: numbers.append(number))
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


def test_handlers_are_called_after_the_block(came):
    with held_signals(*NUMBERS):
        for number in reversed(NUMBERS):
            signal.raise_signal(number)
        assert came == []
    assert came == [*reversed(NUMBERS)]
    signal.raise_signal(signal.SIGUSR1)
    assert came[2:] == [signal.SIGUSR1]


def test_and_after_a_failure(came):
    def fail():
        signal.raise_signal(signal.SIGUSR1)
        raise FileNotFoundError

    with pytest.raises(FileNotFoundError), held_signals(*NUMBERS):
        fail()
    assert came == [signal.SIGUSR1]


def test_programs_that_are_started_get_them(came):
    with held_signals(*NUMBERS), running(["sleep", "600"]) as program:
        program.send_signal(signal.SIGUSR1)
        assert program.wait(20) == -signal.SIGUSR1


def test_what_is_ignored_stays_so(came):
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    with held_signals(*NUMBERS):
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
        signal.raise_signal(signal.SIGUSR1)
    assert came == []
