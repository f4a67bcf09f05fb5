"""A training that is asked to end saves where it is, and ends."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from normlib.openmmlab.errors import TrainingError, TrainingInterrupted
from normlib.openmmlab.hooks.checkpoint import point_to
from normlib.openmmlab.hooks.non_finite_loss import NonFiniteLossHook
from normlib.openmmlab.resuming.run_state import INTERRUPTED

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
# One request may come twice: `timeout` signals a process and its group, and a scheduler all
# processes, while the launcher among them passes its own signal on.
SAME_REQUEST_SECONDS = 2.0


@HOOKS.register_module()
class StopSignalHook(Hook):
    """Saves after the iteration at hand and ends the run when a signal asks for it.

    Schedulers send SIGTERM or SIGUSR1 before they take a machine back, and a terminal that is
    closed sends SIGHUP, unless that is ignored, as under nohup. Any one rank being told is enough:
    all agree, by a collective of one number that no iteration waits for, on the iteration after
    which they stop. ``last_checkpoint`` then names ``interrupted_iter_N.pth``, from which the run
    goes on exactly, in the middle of an epoch, too. The last two of them stay until the run has
    saved again. A signal during a validation, or while a checkpoint is written, counts after it.
    Another one, two seconds or more after the first, ends the process at once.

    No rank ends before rank 0 has written everything, be it here or at the end of a training:
    launchers kill the processes that are left some time after the first has ended.

    Raises:
        TrainingInterrupted: In every rank, once everything is saved.
        TrainingError: In every rank, where nothing was saved: the disk refuses, or
            :class:`normlib.openmmlab.hooks.NonFiniteLossHook` has found a loss or a weight that is
            not finite.
    """

    # After whatever changes the state of an iteration, and after the regular checkpoint.
    priority = "LOWEST"

    def __init__(self) -> None:
        # When the first signal came; no lock is to be taken within its handler.
        self._asked: float | None = None
        self._before: dict[int, Any] = {}
        self._group: Any = None
        self._vote: tuple[Tensor, Any] | None = None

    def before_train(self, runner: Runner) -> None:
        """Listen."""
        self._asked = None
        self._vote = None
        if dist.is_distributed() and torch.distributed.get_backend() != "gloo":
            # A vote on the device would have every iteration wait for it to run dry.
            timeout = runner.cfg.get("env_cfg", {}).get("dist_cfg", {}).get("timeout", 1800)
            self._group = torch.distributed.new_group(
                backend="gloo", timeout=timedelta(seconds=timeout)
            )
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: signal.signal(number, self._ask)
                for number in _SIGNALS
                if signal.getsignal(number) != signal.SIG_IGN
            }

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Stop if a rank was asked to before the last vote."""
        if self._decided() and self._between_steps(runner):
            self._save(runner)
            raise TrainingInterrupted(
                f"ended as asked after iteration {runner.iter + 1} of {runner.max_iters}; all is "
                f"saved in {runner.work_dir}: the same command with --resume goes on from there"
            )

    def after_train(self, runner: Runner) -> None:
        """Hear the last vote, and wait for the last checkpoint."""
        if self._vote is not None:
            self._vote[1].wait()
            self._vote = None
        dist.barrier(self._group)

    def stop_listening(self) -> None:
        """Leave signals to whom they were left before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked is None:
            self._asked = now
        elif now - self._asked >= SAME_REQUEST_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _decided(self) -> bool:
        """Whether all ranks know that one was asked; each call opens the next vote."""
        if not dist.is_distributed():
            return self._asked is not None
        decided = False
        if self._vote is not None:
            votes, work = self._vote
            work.wait()
            decided = bool(votes)
        votes = torch.tensor(int(self._asked is not None))
        work = torch.distributed.all_reduce(
            votes, torch.distributed.ReduceOp.MAX, group=self._group, async_op=True
        )
        self._vote = votes, work
        return decided

    def _between_steps(self, runner: Runner) -> bool:
        """Whether no gradients are waiting for more of them, which would be lost."""
        wrapper = runner.optim_wrapper
        every = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else (wrapper,)
        return all(one.should_update() for one in every)

    def _save(self, runner: Runner) -> None:
        for hook in runner.hooks:
            if isinstance(hook, NonFiniteLossHook):
                hook.check(runner)
        path = Path(runner.work_dir, INTERRUPTED.format(runner.iter + 1))
        problem: list[str | None] = [None]
        try:
            runner.save_checkpoint(runner.work_dir, path.name, by_epoch=False)
            if dist.is_main_process():
                point_to(str(path), runner.work_dir)
                _remove_older(path)
        except (TrainingError, OSError) as error:  # of rank 0, which alone writes
            problem = [str(error)]
        dist.broadcast_object_list(problem, group=self._group)
        if problem[0] is not None:
            raise TrainingError(problem[0])


def _remove_older(path: Path) -> None:
    """Keep, of the checkpoints of interruptions, this one and the newest of the others."""
    with suppress(OSError):  # all is saved, whatever becomes of the old ones
        others = [other for other in path.parent.glob(INTERRUPTED.format("*")) if other != path]
        for other in sorted(others, key=lambda other: other.stat().st_mtime)[:-1]:
            other.unlink()
