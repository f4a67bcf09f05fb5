#!/usr/bin/env python
"""torchrun that ends as its processes do: python tools/elastic_run.py [torchrun's options] SCRIPT.

torchrun itself ends with 1 and a traceback, whatever has happened. This ends with

    0        all processes are done
    N        the exit code of the first process that failed: 2 for the user's mistake, 75 for a run
             that was asked to end and has saved everything, 1 for a crash, 128 + n for signal n
    1        the machines did not meet
    75       SIGTERM, SIGINT, SIGHUP or SIGUSR1 came, and every process has saved everything
    128 + n  the same signal n, and not every process has

and that process's message as its last line. The first signal goes to the processes, which get
STOP_SECONDS (an environment variable, default 300) to write a checkpoint. After them, or with the
next signal two seconds or more later, torch sends it again, which ends a process at once, and after
30 seconds kills what is left.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

from torch.distributed import DistError, run
from torch.distributed.elastic.multiprocessing import (
    DefaultLogsSpecs,
    LogsDest,
    LogsSpecs,
    SignalException,
    Std,
)
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous import RendezvousError
from torch.distributed.launcher.api import elastic_launch

MISTAKE = 2
SAVED = 75  # EX_TEMPFAIL: try again later
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
# `timeout` and some schedulers send a signal to a process and to its group: that is one request.
SAME_REQUEST_SECONDS = 2.0


class Workers(LogsSpecs):
    """Where the processes leave their messages, and who passes signals on to them.

    torch asks for the files whenever it is about to start the processes.
    """

    def __init__(self, args: argparse.Namespace, stop_seconds: float) -> None:
        self._args = args
        self._stop_seconds = stop_seconds
        self._asked: float | None = None
        self._files: LogsSpecs | None = None
        self.error_files: list[str] = []
        super().__init__()

    @property
    def root_log_dir(self) -> str:
        return self._files.root_log_dir if self._files else ""

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        args = self._args
        if self._files is None:
            ranks = args.local_ranks_filter
            self._files = DefaultLogsSpecs(
                log_dir=args.log_dir or tempfile.mkdtemp(prefix="elastic_run_"),
                redirects=Std.from_str(args.redirects),
                tee=Std.from_str(args.tee),
                local_ranks_filter={int(rank) for rank in ranks.split(",")} if ranks else None,
            )
        files = self._files.reify(envs)
        self.error_files = list(files.error_files.values())
        for signum in SIGNALS:
            if signal.getsignal(signum) != signal.SIG_IGN:  # as under nohup
                signal.signal(signum, self._stop)
        return files

    def close(self) -> None:
        """Remove the files, unless the user has asked for them."""
        if self._files is not None and not self._args.log_dir:
            shutil.rmtree(self._files.root_log_dir, ignore_errors=True)

    def _stop(self, signum: int, _: FrameType | None) -> None:
        """Pass a signal on and wait for the processes; torch would kill them after 30 seconds."""
        now = time.monotonic()
        if self._asked is not None and now - self._asked < SAME_REQUEST_SECONDS:
            return
        first, self._asked = self._asked is None, now
        name = signal.Signals(signum).name
        if first:
            pids = _children()
            for pid in pids:
                os.kill(pid, signum)
            _say(f"{name}: the processes have {self._stop_seconds:g} s to write a checkpoint")
            ends = [_wait(pid, now + self._stop_seconds) for pid in pids]
            if ends and not any(end is None or end for end in ends):
                return  # They were done anyway.
        raise SignalException(f"got {name}", signal.Signals(signum))


def main() -> int:
    """Run what the command line says, and return the exit code."""
    args = run.parse_args(sys.argv[1:])
    try:
        stop_seconds = float(os.environ.get("STOP_SECONDS") or 300)
    except ValueError:
        _say(f"error: STOP_SECONDS is {os.environ['STOP_SECONDS']!r}: give a number of seconds")
        return MISTAKE
    workers = Workers(args, stop_seconds)
    # Of the signals that torch would handle, it keeps one that nobody sends.
    args.signals_to_handle = "SIGQUIT"
    config, command, arguments = run.config_from_args(
        argparse.Namespace(**{**vars(args), "log_dir": os.devnull})
    )
    config.logs_specs = workers
    try:
        elastic_launch(config, command)(*arguments)
    except ChildFailedError as error:
        return _failed(error)
    except SignalException as error:
        return _asked_to_end(error.sigval, workers.error_files)
    except (DistError, RendezvousError) as error:
        where = config.rdzv_endpoint
        _say(f"error: the {args.nnodes} machines did not meet at {where}: {_first_line(error)}")
        return 1
    except OSError as error:
        _say(f"error: {error}")
        return MISTAKE
    finally:
        workers.close()
    return 0


def _failed(error: ChildFailedError) -> int:
    """Say why the run has failed, and return the exit code of its first failure."""
    rank, failure = min(error.failures.items(), key=lambda item: (*_order(item[1]), item[0]))
    told = failure.message.get("message") if isinstance(failure.message, dict) else None
    if failure.exitcode == SAVED:
        _say(f"stopped (rank {rank}): {told or 'everything is saved; start again with --resume'}")
    elif failure.exitcode == MISTAKE:
        _say(f"error (rank {rank}): {told or 'see above'}")
    elif failure.exitcode < 0:
        _say(str(error))
        name = signal.Signals(-failure.exitcode).name
        memory = "; was memory short? see the kernel's log" if name == "SIGKILL" else ""
        _say(f"error (rank {rank}): ended by signal {-failure.exitcode} ({name}){memory}")
    else:
        _say(str(error))
        _say(f"error (rank {rank}): {told or f'exit code {failure.exitcode}, see above'}")
    return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode


def _order(failure: ProcessFailure) -> tuple[int, int]:
    """The first in time is the cause. Times are whole seconds: within one, what follows is known.

    After the first failure torch ends the other processes by SIGTERM.
    """
    within = {MISTAKE: 0, SAVED: 2, -signal.SIGTERM: 3}
    return failure.timestamp, within.get(failure.exitcode, 1)


def _asked_to_end(signum: signal.Signals, error_files: list[str]) -> int:
    reports = [_report(path) for path in error_files]
    saved = [report for report in reports if report.get("errorCode") == SAVED]
    if saved and len(saved) == len(reports):
        told = saved[0].get("message")
        _say(f"stopped: {told or 'everything is saved; start again with --resume'}")
        return SAVED
    _say(
        f"error: ended by {signum.name}; {len(saved)} of {len(reports)} processes have saved "
        "everything: what was done since the last checkpoint is lost"
    )
    return 128 + signum


def _report(path: str) -> dict[str, Any]:
    """What a process has left in its error file, empty where that is nothing."""
    try:
        message = json.loads(Path(path).read_text())["message"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return message if isinstance(message, dict) else {}


def _children() -> list[int]:
    """Process ids of this process's children that are still running."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold anything.
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == os.getpid() and state != "Z":
            found.append(int(path.parent.name))
    return found


def _wait(pid: int, until: float) -> int | None:
    """The exit status of a child, which stays there for torch; None if it is not known in time."""
    while True:
        try:
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return None
        if ended is not None:
            return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        if time.monotonic() > until:
            return None
        time.sleep(0.05)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
