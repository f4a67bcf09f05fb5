"""One training at a time writes to a work directory."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging import Logger
from pathlib import Path

from mmengine import dist

from normlib.openmmlab.errors import ConfigError

FILE_NAME = ".lock"
# In seconds. A process that was killed, or whose place another takes, may live for a moment.
PATIENCE = 30.0
_PAUSE = 0.2
_LONGEST = 200  # bytes of what a file says of its holder


@contextmanager
def locked(work_dir: str, logger: Logger) -> Iterator[None]:
    """Keep other trainings from a work directory for the time of a block.

    Rank 0 holds a POSIX lock on a file there, for all ranks; a collective call. The lock ends with
    its process, however that ends, and workers that the process has forked do not hold it. Where
    the file system has no locks, the log says so, and the block runs without.

    Args:
        work_dir: The folder, which exists.
        logger: Is told of a wait, and of a lock that cannot be had.

    Raises:
        ConfigError: In every rank: another process holds the lock, and has not ended within
            :data:`PATIENCE`.
    """
    path = Path(work_dir, FILE_NAME)
    file: int | None = None
    problem: list[str | None] = [None]
    if dist.is_main_process():
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            problem = [_take(file, work_dir, logger)]
        except OSError as error:
            logger.warning(
                f"{path} cannot be locked ({error.strerror}): nothing keeps a second training from "
                f"writing to {work_dir}"
            )
    try:
        dist.broadcast_object_list(problem)
        if problem[0] is not None:
            raise ConfigError(problem[0])
        yield
    finally:
        if file is not None:
            os.close(file)


def _take(file: int, work_dir: str, logger: Logger) -> str | None:
    """Lock a file, and write into it by whom; what is wrong where another keeps it."""
    begin, told = time.monotonic(), False
    while not _lock(file):
        text = os.pread(file, _LONGEST, 0).decode(errors="replace")
        holder = "".join(sign for sign in text if sign.isprintable())
        other = f"another training ({holder})" if holder else "another training"
        if time.monotonic() - begin >= PATIENCE:
            return f"{other} writes to {work_dir}: end it, or give another --work-dir"
        if not told:
            logger.info(f"{other} writes to {work_dir}: waiting up to {PATIENCE:g} s for its end")
            told = True
        time.sleep(_PAUSE)
    with suppress(OSError):  # a full disk: locked all the same
        os.ftruncate(file, 0)
        os.pwrite(file, f"{socket.gethostname()}, pid {os.getpid()}".encode(), 0)
    return None


def _lock(file: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # which one depends on the system
        return False
    return True
