"""A disk that is full: a small file system of its own or, where none can be mounted, a limit."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tests.chaos.attempts import Attempt, Missed
from tests.chaos.kinds import Aftermath, kind

if TYPE_CHECKING:
    from tests.chaos.training import Training

MISTAKE = 2
_INSIDE = "CHAOS_NAMESPACE"
# Logs of a run still fit in.
_LOGS = 2**20
_STEP = 2**20


class Disk(Protocol):
    """Where a training writes."""

    def fill(self, attempt: Attempt, leave: int) -> None:
        """Leave room for so many bytes."""

    def empty(self) -> None:
        """Give the room back."""

    def close(self) -> None:
        """Remove the disk."""


class SmallDisk:
    """A file system in memory, which another file fills.

    Args:
        folder: Where it is mounted.
        size: In bytes.
    """

    def __init__(self, folder: Path, size: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        _mount(folder, size)
        self._folder = folder
        self._filler = folder / "filler"

    def fill(self, attempt: Attempt, leave: int) -> None:
        """Leave room for so many bytes, or less."""
        with self._filler.open("wb") as file:
            end = 0
            while (room := shutil.disk_usage(self._folder).free - leave) > 0:
                step = min(room, _STEP)
                try:
                    os.posix_fallocate(file.fileno(), end, step)
                    end += step
                except OSError as error:  # the training, which writes too, may have taken the room
                    if error.errno != errno.ENOSPC:
                        raise

    def empty(self) -> None:
        """Remove the other file."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", "-l", self._folder], check=False)


class FileLimit:
    """A limit to the size of a process's files; it ends with the process."""

    def fill(self, attempt: Attempt, leave: int) -> None:
        """Let no file of a process have more bytes."""
        resource.prlimit(attempt.pid, resource.RLIMIT_FSIZE, (leave, leave))

    def empty(self) -> None:
        """Nothing is left to be done."""

    def close(self) -> None:
        """Nothing is left to be done."""


def enter_namespace() -> None:
    """Start this program again where it may mount file systems, which end with it, if it can."""
    if can_mount() or shutil.which("unshare") is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        script = 'mount -t tmpfs -o size=64k none "$0"'
        trial = ["unshare", "-rm", "sh", "-c", script, folder]
        if subprocess.run(trial, capture_output=True, check=False).returncode != 0:
            return
    os.environ[_INSIDE] = "1"
    command = ["unshare", "-rm", sys.executable, "-m", "tests.chaos", *sys.argv[1:]]
    os.execvp(command[0], command)


def can_mount() -> bool:
    """Whether file systems can be mounted."""
    return _INSIDE in os.environ


def disk_for(folder: Path, checkpoint: int) -> Disk:
    """A disk that can be filled.

    Args:
        folder: Of a training.
        checkpoint: Bytes of a checkpoint, of which there is room for more than are kept.
    """
    size = 10 * checkpoint + 32 * _LOGS
    return SmallDisk(folder, size) if can_mount() else FileLimit()


@kind("full disk", weight=3, fills_disk=True)
def full_disk(training: Training) -> Aftermath:
    """The next checkpoint does not fit; the one before stays, and the training ends with 2."""
    moment = training.moment(to_the_end=False)
    training.attempt.reach(moment)
    leave = training.rng.randrange(_LOGS, max(_LOGS + 1, int(0.8 * training.checkpoint_size)))
    training.disk.fill(training.attempt, leave)
    code = training.attempt.end()
    training.disk.empty()
    if code == 0:
        raise Missed
    aftermath = Aftermath(f"{moment}: {leave} bytes left, exit {code}")
    says_so = r"^error: checkpoint .* cannot be written: "
    aftermath.troubles = misreported(training.attempt, code, says_so)
    left = [path.name for path in training.work_dir.glob(".*.pth.*")]
    if left:
        aftermath.troubles.append(f"half-written {', '.join(left)} left behind")
    return aftermath


def misreported(attempt: Attempt, code: int | None, line: str) -> list[str]:
    """What is wrong with the end of a training that is the user's to mend.

    Args:
        attempt: It.
        code: Its exit code.
        line: A regular expression for its last line on standard error.
    """
    troubles = []
    if code != MISTAKE:
        troubles.append(f"exit code {code}, not {MISTAKE}")
    last = attempt.messages.strip().rpartition("\n")[2]
    if re.search(line, last) is None:
        troubles.append(f"the last line is {last!r}")
    if "Traceback" in attempt.messages:
        troubles.append("a traceback among the messages")
    return troubles


def _mount(folder: Path, size: int) -> None:
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    subprocess.run(command, check=True)
