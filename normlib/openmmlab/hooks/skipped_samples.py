"""A word about training samples that a data set had to leave out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine import dist
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from normlib.openmmlab.errors import TrainingError

_SHOWN = 3
_METHODS = {
    "skipped": "could not be decoded and {} skipped",
    "incomplete": "could be decoded in part only and {} used",
}


@HOOKS.register_module()
class SkippedSamplesHook(Hook):
    """Logs how many training samples could not be decoded and were skipped, by any rank.

    A data set takes part by a method ``skipped() -> list[str]``, called in the main process, which
    names every such sample since the training began, once; it may lie inside others, which have it
    as their ``dataset`` or in their ``datasets``. A method ``incomplete() -> list[str]`` may name
    those that were used although a part of them could not be decoded, and a number
    ``most_skipped`` tell how many may be skipped. The lines are logged after an epoch, and after
    the training, where the samples are not those of the line before.

    Raises:
        TrainingError: More were skipped, by all ranks together.
    """

    # Before the log and the checkpoint of the epoch.
    priority = "NORMAL"

    def __init__(self) -> None:
        self._told: dict[str, list[str]] = {}

    def before_train(self, runner: Runner) -> None:
        """Forget an earlier training."""
        self._told = {}

    def after_train_epoch(self, runner: Runner) -> None:
        """Log what was skipped."""
        self._tell(runner)

    def after_train(self, runner: Runner) -> None:
        """Log what was skipped."""
        self._tell(runner)

    def _tell(self, runner: Runner) -> None:
        asked = list(_that_skip(runner.train_dataloader.dataset))
        for method, what in _METHODS.items():
            parts = [getattr(dataset, method) for dataset in asked if hasattr(dataset, method)]
            if parts:
                own = [name for part in parts for name in part()]
                self._tell_one(runner, method, what, own)
        limits = [dataset.most_skipped for dataset in asked if hasattr(dataset, "most_skipped")]
        count = len(self._told.get("skipped", ()))
        if limits and len(limits) == len(asked) and count > sum(limits):
            raise TrainingError(
                f"{count} training samples could not be decoded, more than the {sum(limits)} that "
                "the data set allows; tools/check_data.py says what is wrong with them"
            )

    def _tell_one(self, runner: Runner, method: str, what: str, own: list[str]) -> None:
        names = sorted({name for part in dist.all_gather_object(own) for name in part})
        if not names or names == self._told.get(method):
            return
        self._told[method] = names
        many = len(names) > 1
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        what = what.format("were" if many else "was")
        runner.logger.warning(
            f"{len(names)} training sample{'s' if many else ''} {what}: "
            f"{', '.join(names[:_SHOWN])}{more}"
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
