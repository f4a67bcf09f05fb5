"""Programs that tests start: where they meet, how they are waited for, and that they end."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

_Answer = TypeVar("_Answer")
# Below those that Linux gives to connections, of which tests beside this one make many.
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """A port of this machine that nothing uses."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with suppress(OSError), socket.socket() as found:
            found.bind(("", port))
            return port


def wait_until(condition: Callable[[], _Answer], seconds: float = 120.0) -> _Answer:
    """Wait for a condition to hold.

    Args:
        condition: Is asked again and again.
        seconds: After which it is an error that it does not; many, for a busy machine.

    Returns:
        The last answer.

    Raises:
        AssertionError: The condition does not hold.
    """
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.02)
    return answer


@contextmanager
def running(command: Sequence[object], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a program for the time of a block, which nothing that it has started outlives.

    Args:
        command: The program and its arguments.
        options: Of :class:`subprocess.Popen`.
    """
    program = subprocess.Popen(
        list(map(str, command)), text=True, start_new_session=True, **options
    )
    with program:  # closes its pipes, and waits
        try:
            yield program
        finally:
            _kill(program)


def children(parent: int) -> list[int]:
    """Process ids of the living children of a process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            # The name, in parentheses, may hold anything.
            state, ppid = path.read_text().rpartition(")")[2].split()[:2]
            if int(ppid) == parent and state != "Z":
                found.append(int(path.parent.name))
    return sorted(found)


def _kill(program: subprocess.Popen[str]) -> None:
    """Kill a program and all that it has started, as torchrun does, in sessions of their own."""
    below = [program.pid] if program.poll() is None else []
    for pid in below:
        below += children(pid)
    with suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)
    for pid in below:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
