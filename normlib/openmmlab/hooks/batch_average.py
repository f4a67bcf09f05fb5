"""Evaluation with batch statistics averaged over training data."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from normlib.checkpoint.batch_average import (
    MOMENTUM_STATISTICS,
    BatchAverage,
    swap_statistics,
)
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.statistics_pass import StatisticsPass, check_num_batches
from normlib.openmmlab.wrappers import bare_model


@HOOKS.register_module()
class BatchAverageHook(Hook):
    """Validates, and ends, with statistics averaged over training batches ("batch average").

    Luo et al. (arXiv 1806.10779, section 3.2) evaluate with averages over many mini-batches of the
    finished weights in place of running averages over past ones; see
    :class:`normlib.checkpoint.batch_average.BatchAverage` for what is averaged and how.

    Before every validation in training the averages take the place of the momentum statistics, and
    afterwards these come back: training goes on as without the hook. A checkpoint written in
    between, such as the best one, holds what was evaluated. The checkpoint of the last iteration
    holds averages too, whether there is a validation or not; one where a run was stopped early does
    not. Both keep the momentum statistics under the key ``momentum_statistics``, from where a
    resumed run with this hook takes them.

    Buffers that are averaged over ranks (``SyncStatisticsHook``) are so before these.

    Args:
        num_batches: Training batches that every process feeds, see
            :class:`normlib.openmmlab.statistics_pass.StatisticsPass`.
        dataloader: Config of the data to feed. The authors take training images without
            augmentation: resized to 256, their centre of 224. By default the config's
            ``train_dataloader``, built once more.
        required: Whether a model without batch statistics, such as one with GN, is an error; the
            hook else says so in the log and does nothing, so that a config can name any norm.

    Raises:
        ConfigError: See :class:`normlib.openmmlab.statistics_pass.StatisticsPass`; or there is an
            ``EMAHook``, which evaluates and saves other weights.
    """

    priority = "BELOW_NORMAL"

    def __init__(
        self,
        num_batches: int = 200,
        dataloader: dict[str, Any] | None = None,
        required: bool = True,
    ) -> None:
        check_num_batches(num_batches, type(self).__name__)
        self.num_batches = num_batches
        self.dataloader = dataloader
        self.required = required
        self._pass: StatisticsPass | None = None
        self._latest: tuple[int, dict[str, Tensor]] = -1, {}
        self._momentum: dict[str, Tensor] | None = None

    def before_train(self, runner: Runner) -> None:
        """Look for layers and build the data."""
        if any(isinstance(hook, EMAHook) for hook in runner.hooks):
            raise ConfigError(
                "BatchAverageHook: EMAHook evaluates and saves other weights than those that are "
                "trained; take one of them out of custom_hooks, and average the statistics of the "
                "last checkpoint with tools/batch_average.py"
            )
        self._latest = -1, {}
        if not self.required and not _has_statistics(runner):
            runner.logger.info(
                f"{type(self).__name__}: the model has no batch statistics; nothing to average"
            )
            return
        self._pass = StatisticsPass(runner, self.num_batches, self.dataloader, type(self).__name__)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Average once training is done, since checkpoints are written by one process alone."""
        if self.is_last_train_iter(runner):
            self._averages(runner.iter + 1)

    def before_val_epoch(self, runner: Runner) -> None:
        """Put the averages in."""
        if self._pass is not None:
            statistics = self._averages(runner.iter)
            self._momentum = swap_statistics(bare_model(runner.model), statistics)

    def after_val(self, runner: Runner) -> None:
        """Put the momentum statistics back."""
        if self._momentum is not None:
            swap_statistics(bare_model(runner.model), self._momentum)
            self._momentum = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Save averages where they were evaluated, and at the end."""
        momentum = self._momentum
        if momentum is None and self._pass is not None:
            iterations, statistics = self._latest
            if runner.max_iters <= checkpoint["meta"]["iter"] == iterations:
                weights = checkpoint["state_dict"]
                momentum = {name: weights[name] for name in statistics}
                weights.update({name: value.cpu() for name, value in statistics.items()})
        if momentum is not None:
            checkpoint[MOMENTUM_STATISTICS] = {name: v.cpu() for name, v in momentum.items()}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Go on from the momentum statistics."""
        if runner._resume or getattr(runner, "_resuming", False):
            checkpoint["state_dict"].update(checkpoint.get(MOMENTUM_STATISTICS, {}))

    def after_train(self, runner: Runner) -> None:
        """Let go of the data."""
        self._pass = None

    def _averages(self, iterations: int) -> dict[str, Tensor]:
        """The averages for the weights after so many iterations; for all processes to call."""
        if self._pass is not None and self._latest[0] != iterations:
            self._latest = iterations, self._pass.run()
        return self._latest[1]


def _has_statistics(runner: Runner) -> bool:
    try:
        BatchAverage(bare_model(runner.model))
    except ValueError:
        return False
    return True
