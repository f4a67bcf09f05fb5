"""A word about training samples that a data set had to leave out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine import dist
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

_SHOWN = 3


@HOOKS.register_module()
class SkippedSamplesHook(Hook):
    """Logs how many training samples could not be decoded and were skipped, by any rank.

    A data set takes part by a method ``skipped() -> list[str]``, called in the main process, which
    names every such sample since the training began, once; it may lie inside others, which have it
    as their ``dataset`` or in their ``datasets``. The line is logged after an epoch, and after the
    training, where the samples are not those of the line before.
    """

    # Before the log and the checkpoint of the epoch.
    priority = "NORMAL"

    def __init__(self) -> None:
        self._told: list[str] = []

    def before_train(self, runner: Runner) -> None:
        """Forget an earlier training."""
        self._told = []

    def after_train_epoch(self, runner: Runner) -> None:
        """Log what was skipped."""
        self._tell(runner)

    def after_train(self, runner: Runner) -> None:
        """Log what was skipped."""
        self._tell(runner)

    def _tell(self, runner: Runner) -> None:
        asked = list(_that_skip(runner.train_dataloader.dataset))
        if not asked:
            return
        own = [name for dataset in asked for name in dataset.skipped()]
        names = sorted({name for part in dist.all_gather_object(own) for name in part})
        if not names or names == self._told:
            return
        self._told = names
        many = len(names) > 1
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        runner.logger.warning(
            f"{len(names)} training sample{'s' if many else ''} could not be decoded and "
            f"{'were' if many else 'was'} skipped: {', '.join(names[:_SHOWN])}{more}"
        )


def _that_skip(dataset: Any) -> Iterator[Any]:
    """The data sets, itself or inside it, that say what they have skipped."""
    if callable(getattr(dataset, "skipped", None)):
        yield dataset
        return
    inner = getattr(dataset, "dataset", None)
    for part in (inner, *(getattr(dataset, "datasets", None) or ())):
        if part is not None:
            yield from _that_skip(part)
