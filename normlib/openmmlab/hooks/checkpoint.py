"""Checkpoints that are there before the ones that they replace are gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from normlib.checkpoint.saving import remove_leftovers, replacing
from normlib.openmmlab.resuming.run_state import INTERRUPTED

# Of the files that a run writes under another name first.
_WRITTEN_WHOLE = ("*.pth", "last_checkpoint", "metrics.json")


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's hook, except that a kill at any moment leaves a checkpoint to go on from.

    mmengine removes the oldest checkpoint, and the best one so far, before it writes the next, and
    writes ``last_checkpoint`` in place. Here a new checkpoint is written and read back first (see
    :meth:`normlib.openmmlab.runner.CheckedRunner.save_checkpoint`), ``last_checkpoint`` is moved to
    it next, and what is no longer kept goes last; so ``max_keep_ckpts`` needs room for one more.
    The arguments are those of mmengine's ``CheckpointHook``, in whose place
    :class:`normlib.openmmlab.runner.CheckedRunner` puts this hook. Elsewhere than on local disks
    (``backend_args``) all is as in mmengine.
    """

    file_backend: Any = None

    def before_train(self, runner: Runner) -> None:
        """Look up what is kept, and clear away what a killed process left half-written."""
        super().before_train(runner)
        if self._is_local and is_main_process():
            for folder in {Path(self.out_dir), Path(runner.work_dir)}:
                for pattern in _WRITTEN_WHOLE:
                    for left in remove_leftovers(folder, pattern):
                        runner.logger.info(f"removed {left}, which a killed run had not finished")

    @property
    def _is_local(self) -> bool:
        return isinstance(self.file_backend, LocalBackend)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        if not self._is_local:
            super()._save_checkpoint_with_step(runner, step, meta)
            return
        dropped = self._keep(runner, step)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = str(Path(self.out_dir, name))
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            **self.args,
        )
        if is_main_process():
            point_to(self.last_ckpt, runner.work_dir)
            for old in (*dropped, *Path(runner.work_dir).glob(INTERRUPTED.format("*"))):
                old.unlink(missing_ok=True)

    def _keep(self, runner: Runner, step: int) -> list[Path]:
        """Take note of a checkpoint to write, and tell which ones are to go then."""
        dropped: list[Path] = []
        if self.max_keep_ckpts > 0 and (not self.keep_ckpt_ids or self.keep_ckpt_ids[-1] != step):
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                oldest = self.keep_ckpt_ids.popleft()
                dropped.append(Path(self.out_dir, self.filename_tmpl.format(oldest)))
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
        return dropped

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, Any]) -> None:
        if not self._is_local:
            super()._save_best_checkpoint(runner, metrics)
            return
        backend, before = self.file_backend, self._best()
        # mmengine removes the best checkpoint so far before it has written the next.
        self.file_backend = _KeepingBackend()
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = backend
        if is_main_process():
            for old in before - self._best():
                Path(old).unlink(missing_ok=True)
                runner.logger.info(f"The previous best checkpoint {old} is removed")

    def _best(self) -> set[str]:
        """The best checkpoints so far."""
        several = getattr(self, "best_ckpt_path_dict", {}).values()
        return {path for path in (getattr(self, "best_ckpt_path", None), *several) if path}


class _KeepingBackend(LocalBackend):
    """Shows no file, so that none is removed."""

    def isfile(self, filepath: str | Path) -> bool:
        return False

    def isdir(self, filepath: str | Path) -> bool:
        return False


def point_to(checkpoint: str, work_dir: str) -> None:
    """Have ``last_checkpoint`` of a work directory name a checkpoint, at once."""
    with replacing(Path(work_dir, "last_checkpoint")) as scratch:
        scratch.write_text(checkpoint)
