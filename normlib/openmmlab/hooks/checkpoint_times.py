"""When a run is about to write a checkpoint."""

from __future__ import annotations

from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner


def saves_after_iter(runner: Runner) -> bool:
    """Whether a hook of the run writes a checkpoint after this training iteration.

    Args:
        runner: Inside ``after_train_iter``, where ``runner.iter`` counts this iteration from 0.
    """
    return any(
        isinstance(hook, CheckpointHook) and not hook.by_epoch and _is_due(runner, hook)
        for hook in runner.hooks
    )


def _is_due(runner: Runner, hook: CheckpointHook) -> bool:
    last = hook.save_last and hook.is_last_train_iter(runner)
    return bool(last or hook.every_n_train_iters(runner, hook.interval, hook.save_begin))
