"""Running statistics that are the same on every rank, and in the checkpoint."""

from __future__ import annotations

from typing import Any

from mmengine.dist import all_reduce_params
from mmengine.hooks import CheckpointHook, SyncBuffersHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


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
        if self.distributed and any(self._saves_now(runner, hook) for hook in runner.hooks):
            all_reduce_params(runner.model.buffers(), op="mean")

    def _saves_now(self, runner: Runner, hook: object) -> bool:
        if not isinstance(hook, CheckpointHook) or hook.by_epoch:
            return False
        last = hook.save_last and self.is_last_train_iter(runner)
        return bool(last or self.every_n_train_iters(runner, hook.interval, hook.save_begin))
