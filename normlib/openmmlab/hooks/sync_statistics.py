"""Running statistics that are the same on every rank, and in the checkpoint."""

from __future__ import annotations

from typing import Any

from mmengine.dist import all_reduce_params
from mmengine.hooks import SyncBuffersHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from normlib.openmmlab.hooks.checkpoint_times import saves_after_iter


@HOOKS.register_module()
class SyncStatisticsHook(SyncBuffersHook):
    """Averages buffers over ranks before evaluation, as mmengine's hook does, and before saving.

    Norms that do not synchronise keep running statistics of their own on every rank. In iteration
    loops mmengine's hook averages them after the checkpoint of the same iteration, which would then
    hold other statistics than the ones that were evaluated.
    """

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Average the buffers if a checkpoint is about to be written."""
        if self.distributed and saves_after_iter(runner):
            all_reduce_params(runner.model.buffers(), op="mean")
