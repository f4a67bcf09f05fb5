"""One start of a run: its processes, what they print, and how they end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .plan import ROOT
from .record import Attempt
from .run import WEIGHTS, Run

# What tools/train.py ends with where its user has to mend something, and where it was asked to end.
MENDABLE = 2
STOPPED = 75
OUTPUT = "output.txt"
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
        progress: A word on how far it is.
    """

    def __init__(self, run: Run, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.run = run
        self.progress = "starting"
        self._started = time.time()
        self._clock = time.monotonic()
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for this process to hand on
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def poll(self) -> Attempt | None:
        """How it went; None while it goes on."""
        code = self._process.poll()
        if code is None:
            return None
        self._reader.join(timeout=10)
        started = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(self._started))
        if code == 0:
            _name_weights(self.run.work_dir)
        return Attempt(started, round(time.monotonic() - self._clock, 1), code)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._clock

    def stop(self) -> None:
        """Ask it to save and end."""
        self.progress = "saving"
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End all its processes at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with (self.run.work_dir / OUTPUT).open("a") as file:
            for line in self._process.stdout:
                file.write(line)
                file.flush()
                self.progress = progress_of(line) or self.progress


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
    try:
        lines = (work_dir / OUTPUT).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-count:])


def _name_weights(work_dir: Path) -> None:
    """Give the last checkpoint a name that does not depend on the number of epochs."""
    pointer = work_dir / "last_checkpoint"
    if not pointer.is_file():
        return
    scratch = work_dir / f".{WEIGHTS}"
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(Path(pointer.read_text().strip()).name)
    scratch.replace(work_dir / WEIGHTS)
