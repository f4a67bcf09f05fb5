"""One start of a run: its processes, what they print, and how they end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .plan import ROOT
from .record import Attempt
from .run import Run

# What tools/train.py ends with where its user has to mend something, and where it was asked to end.
MENDABLE = 2
STOPPED = 75
OUTPUT = "output.txt"
_TAIL_BYTES = 8192
_ITERATION = re.compile(r"Iter\(train\)\s*\[\s*(\d+)/(\d+)\]")
_EPOCH = re.compile(r"Epoch\(train\)\s*\[(\d+)\]\[\s*(\d+)/(\d+)\]")
_ETA = re.compile(r"\beta: ((?:\d+ days?, )?[\d:]+)")
_LOSS = re.compile(r"\bloss: ([\d.naife+-]+)")


class Training:
    """The processes of a run, started in a session of their own.

    They print to `output.txt` in the work directory, after what is there.

    Args:
        run: The run; its work directory exists.
        command: What is executed in the project's root.
        environment: Variables beside those of this process.

    Attributes:
        run: The run.
    """

    def __init__(self, run: Run, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.run = run
        self._started = time.time()
        self._clock = time.monotonic()
        self._stopping = False
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        with (run.work_dir / OUTPUT).open("ab") as output:
            self._begin = output.tell()
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for this process to hand on
            )

    def poll(self) -> Attempt | None:
        """How it went; None while it goes on."""
        code = self._process.poll()
        if code is None:
            return None
        started = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(self._started))
        return Attempt(started, round(self.seconds, 1), code)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._clock

    @property
    def progress(self) -> str:
        """A word on how far it is."""
        if self._stopping:
            return "saving"
        lines = reversed(_tail(self.run.work_dir, self._begin).splitlines())
        return next((words for line in lines if (words := progress_of(line))), "starting")

    def stop(self) -> None:
        """Ask it to save and end."""
        self._stopping = True
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End all its processes at once, those in sessions of their own too."""
        if self._process.poll() is not None:  # the number may be another process's by now
            return
        # The launcher first: it would answer the end of its children.
        for pid in [self._process.pid, *_descendants(self._process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def progress_of(line: str) -> str | None:
    """What a line of a training's log says of its progress; None where it says nothing."""
    if match := _ITERATION.search(line):
        words = [f"iteration {match[1]} of {match[2]}"]
    elif match := _EPOCH.search(line):
        words = [f"epoch {match[1]}, {match[2]} of {match[3]}"]
    elif "(val)" in line:
        return "evaluating"
    else:
        return None
    words += [f"loss {loss[1]}"] if (loss := _LOSS.search(line)) else []
    words += [f"{eta[1]} left"] if (eta := _ETA.search(line)) else []
    return ", ".join(words)


def last_words(work_dir: Path, count: int = 12) -> str:
    """The last lines that a run printed."""
    return "\n".join(_tail(work_dir).splitlines()[-count:])


def _tail(work_dir: Path, begin: int = 0) -> str:
    try:
        with (work_dir / OUTPUT).open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(begin, end - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _descendants(pid: int) -> list[int]:
    """The processes that a process, and those that it has started, have started."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found[1:]
