"""How a command ends: its exit code, and its last words."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch.distributed as dist

from normlib.openmmlab import collectives, processes
from normlib.openmmlab.errors import TrainingInterrupted

LOST, MISTAKE, SAVED, INTERRUPTED = 1, 2, os.EX_TEMPFAIL, 130
# What gloo says where the other end of a connection is gone.
_PEER_LOST = re.compile(r"Connection (closed|reset) by peer")
# A full disk, a quota, a file that may not grow, or no right to write.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)


def exit_code(command: Callable[[], object]) -> int:
    """Run a command for a shell: a mistake of the user's is one line, a bug keeps its traceback.

    The process group, if the command has opened one, is closed; after a bug it is left to the end
    of the process, whose traceback holds what uses the group.

    Returns:
        0; 1 where another process of the run has ended or hangs; 2 after an error that is the
        user's to mend; 75 (EX_TEMPFAIL) where a training was asked to end and has saved all; 130
        after an interrupt.
    """
    rank = os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or "0"
    where = "" if rank == "0" else f" (rank {rank})"
    code = 0
    try:
        command()
    except (KeyboardInterrupt, Exception) as error:
        known = _known(error)
        if known is None:
            raise
        code, kind, text = known
        print(f"{kind}{where}{text and ': '}{text}", file=sys.stderr)
        if text:
            _tell_torchrun(text, code)
    processes.stop(failed=code != 0)
    return code


def _known(error: BaseException) -> tuple[int, str, str] | None:
    """Exit code, kind and text of an end that needs no traceback; None for a bug."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted", ""
    if isinstance(error, TrainingInterrupted):
        return SAVED, "stopped", str(error)
    if _is_users(error):
        # A DataLoader worker puts the traceback before the message.
        return MISTAKE, "error", str(error).rpartition(f"{type(error).__qualname__}: ")[2].strip()
    if waited := collectives.timed_out(error):
        return LOST, "error", waited
    # Without a group it is said of some other connection.
    if dist.is_initialized() and _PEER_LOST.search(str(error)):
        return LOST, "stopped", "another process of the run has ended"
    return None


def _tell_torchrun(text: str, code: int) -> None:
    """Leave the message where torchrun, which prints a report of its own, looks for it."""
    if path := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        detail = {"message": text, "errorCode": code, "extraInfo": {"timestamp": int(time.time())}}
        Path(path).write_text(json.dumps({"message": detail}))


def _is_users(error: BaseException) -> bool:
    """Errors of our own classes are written for the user, and so is an unknown registry name."""
    if type(error).__module__.partition(".")[0] in ("normlib", "tasks"):
        return True
    if isinstance(error, OSError) and error.errno in _DISK:
        return True
    if isinstance(error, TypeError) and _raised_in(error) == "build_from_cfg":
        return True  # A class of the config does not take the arguments that the config gives.
    return isinstance(error, KeyError) and "registry. Please check" in str(error)


def _raised_in(error: BaseException) -> str:
    """Name of the function that an error was raised in."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame.tb_frame.f_code.co_name if frame is not None else ""
