"""Programs that do not outlive the one that has started them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_HARNESS = "CHAOS_HARNESS"


def die_with_parent() -> None:
    """Have the kernel kill this process, and what it becomes by exec, when its parent ends.

    Raises:
        SystemExit: It is too late: the program that has started all is no ancestor of this one.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    ancestor, harness = os.getppid(), int(os.environ[_HARNESS])
    while ancestor != harness:
        if ancestor <= 1:
            sys.exit("the fault test has ended")
        # The name, in parentheses, may hold anything.
        stat = Path(f"/proc/{ancestor}/stat").read_text()
        ancestor = int(stat.rpartition(")")[2].split()[1])


class Programs:
    """Programs of several threads, which are killed together.

    Attributes:
        closed: Whether that has happened.
    """

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self.closed = False

    def start(
        self, command: list[str], environ: dict[str, str], out: Path, err: Path
    ) -> subprocess.Popen[bytes]:
        """Start a program in a process group of its own.

        Args:
            command: Of Python or a shell script; it dies with this process.
            environ: Its environment.
            out: Where its output goes.
            err: Where its messages go.

        Raises:
            InterruptedError: The programs have been killed, and no more are to be started.
        """
        tether = [sys.executable, "-IS", __file__]
        with self._lock, out.open("ab") as output, err.open("ab") as messages:
            if self.closed:
                raise InterruptedError("the fault test was stopped")
            program = subprocess.Popen(
                [*tether, *command],
                env=environ | {_HARNESS: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=messages,
                start_new_session=True,
            )
            self._running.add(program)
        return program

    def clear(self, program: subprocess.Popen[bytes]) -> None:
        """Kill what is left of a program and its group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        with self._lock:
            self._running.discard(program)

    def close(self) -> None:
        """Kill all, and let none be started any more."""
        with self._lock:
            self.closed = True
            running = list(self._running)
        for program in running:
            self.clear(program)


if __name__ == "__main__":
    die_with_parent()
    os.execvp(sys.argv[1], sys.argv[1:])
