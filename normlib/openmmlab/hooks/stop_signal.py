"""A training that is asked to end saves where it is, and ends."""

from __future__ import annotations

import os
import signal
import threading
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
import torch.distributed
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from normlib.openmmlab.errors import TrainingInterrupted
from normlib.openmmlab.hooks.checkpoint import point_to
from normlib.openmmlab.resuming.run_state import INTERRUPTED

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


@HOOKS.register_module()
class StopSignalHook(Hook):
    """Saves after the iteration at hand and ends the run when SIGTERM or SIGUSR1 arrives.

    Schedulers send one of them before they take a machine back. Any one rank being told is enough:
    all agree, by a collective of one number that no iteration waits for, on the iteration after
    which they stop. ``last_checkpoint`` then names ``interrupted_iter_N.pth``, from which the run
    goes on exactly, in the middle of an epoch, too, and which is removed once it has saved again. A
    signal during a validation, or while a checkpoint is written, counts after it. A second one ends
    the process at once.

    Raises:
        TrainingInterrupted: In every rank, once everything is saved.
    """

    # After whatever changes the state of an iteration, and after the regular checkpoint.
    priority = "LOWEST"

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._before: dict[int, Any] = {}
        self._group: Any = None
        self._vote: tuple[Tensor, Any] | None = None

    def before_train(self, runner: Runner) -> None:
        """Listen."""
        self._asked.clear()
        self._vote = None
        if dist.is_distributed() and torch.distributed.get_backend() != "gloo":
            # A vote on the device would have every iteration wait for it to run dry.
            timeout = runner.cfg.get("env_cfg", {}).get("dist_cfg", {}).get("timeout", 1800)
            self._group = torch.distributed.new_group(
                backend="gloo", timeout=timedelta(seconds=timeout)
            )
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in _SIGNALS}

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
        """Hear the last vote."""
        if self._vote is not None:
            self._vote[1].wait()
            self._vote = None

    def stop_listening(self) -> None:
        """Leave signals to whom they were left before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked.is_set():
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._asked.set()

    def _decided(self) -> bool:
        """Whether all ranks know that one was asked; each call opens the next vote."""
        if not dist.is_distributed():
            return self._asked.is_set()
        decided = False
        if self._vote is not None:
            votes, work = self._vote
            work.wait()
            decided = bool(votes)
        votes = torch.tensor(int(self._asked.is_set()))
        work = torch.distributed.all_reduce(
            votes, torch.distributed.ReduceOp.MAX, group=self._group, async_op=True
        )
        self._vote = votes, work
        return decided

    def _between_steps(self, runner: Runner) -> bool:
        """Whether no gradients are waiting for more of them, which would be lost."""
        return bool(runner.optim_wrapper.should_update())

    def _save(self, runner: Runner) -> None:
        name = INTERRUPTED.format(runner.iter + 1)
        runner.save_checkpoint(runner.work_dir, name, by_epoch=False)
        if dist.is_main_process():
            point_to(os.path.join(runner.work_dir, name), runner.work_dir)
