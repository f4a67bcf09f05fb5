"""The pass over training data that batch averages come from."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_reduce
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from normlib.checkpoint.batch_average import BatchAverage
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.wrappers import bare_model

_LOG_EVERY = 50


class StatisticsPass:
    """Feeds training batches to the model of a runner, and returns the averaged statistics.

    See :class:`normlib.checkpoint.batch_average.BatchAverage` for what is averaged. The model
    computes its losses as in training, in full precision, without gradients; parameters, buffers
    and random states are as before afterwards. The data are read anew each time, in the same order.

    Args:
        runner: Has the model; it is fed without the wrapper of distributed training.
        num_batches: Batches that every process feeds. Where the data of one of them end before, all
            stop there, and the log says so.
        dataloader: Config of the data; None for ``train_dataloader`` of the runner's config.
        name: Who asks, for errors and the log.

    Raises:
        ConfigError: ``num_batches`` is below 1, there are no data, or the model has no layer to
            average.
    """

    def __init__(
        self,
        runner: Runner,
        num_batches: int,
        dataloader: dict[str, Any] | None = None,
        name: str = "batch average",
    ) -> None:
        check_num_batches(num_batches, name)
        self._runner = runner
        self._num_batches = num_batches
        self._name = name
        if dataloader is None:
            dataloader = runner.cfg.get("train_dataloader")
        if not isinstance(dataloader, dict):
            raise ConfigError(
                f"{name}: the config has no train_dataloader to take batches from; name a "
                "dataloader"
            )
        self._average()
        dataloader = dataloader.copy()
        dataloader.pop("persistent_workers", None)  # Passes are rare.
        self._config = dataloader
        with _random_states_kept():
            self._config = _WithDataset(dataloader, dataset=self._build().dataset)

    def run(self) -> dict[str, Tensor]:
        """Feed the batches; every process has to call this.

        Returns:
            The statistics by the names of buffers, the same on all processes.

        Raises:
            ConfigError: The data hold no batch.
        """
        model, log = bare_model(self._runner.model), self._runner.logger.info
        average = self._average()
        log(
            f"{self._name}: feeding {self._num_batches} training batches per process to average "
            f"the statistics of {len(average.layers)} norm layers"
        )
        start, done = time.perf_counter(), 0
        with _random_states_kept(), average.collecting():
            for batch in _together(self._build(), self._num_batches):
                _compute_losses(model, batch)
                done += 1
                if done % _LOG_EVERY == 0 and done < self._num_batches:
                    log(f"{self._name}: {done} of {self._num_batches} batches")
        if done == 0:
            raise ConfigError(f"{self._name}: the dataloader has no batch for every process")
        statistics = average.statistics()
        short = f", all there are of {self._num_batches}," if done < self._num_batches else ""
        log(
            f"{self._name}: {len(statistics) // 2} layers averaged over {done} batches per "
            f"process{short} in {time.perf_counter() - start:.1f} s"
        )
        return statistics

    def _build(self) -> DataLoader[Any]:
        """A new loader, since samplers may remember where they were left."""
        randomness = self._runner._randomness_cfg
        loader: DataLoader[Any] = self._runner.build_dataloader(
            self._config,
            seed=self._runner.seed,
            diff_rank_seed=randomness.get("diff_rank_seed", False),
        )
        return loader

    def _average(self) -> BatchAverage:
        try:
            return BatchAverage(bare_model(self._runner.model))
        except ValueError as error:
            raise ConfigError(f"{self._name}: {error}") from error


class _WithDataset(dict[str, Any]):
    """Config of a dataloader whose dataset is built, for mmengine to copy without it."""

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return {
            key: value if key == "dataset" else copy.deepcopy(value, memo)
            for key, value in self.items()
        }


def check_num_batches(num_batches: object, name: str) -> None:
    """Raise a ConfigError unless this is a number of batches."""
    if not isinstance(num_batches, int) or isinstance(num_batches, bool) or num_batches < 1:
        raise ConfigError(f"{name}: num_batches is {num_batches!r}; it must be 1 or more")


def _together(batches: Iterable[Any], most: int) -> Iterator[Any]:
    """Batches for as long as every process has one: losses and layers may communicate."""
    iterator = iter(batches)
    for _ in range(most):
        batch = next(iterator, None)
        everyone = torch.tensor(batch is not None, dtype=torch.int)
        all_reduce(everyone, op="min")
        if not everyone:
            return
        yield batch


def _compute_losses(model: nn.Module, batch: Any) -> None:
    """What ``train_step`` of mmengine's models does, up to the losses."""
    data = model.data_preprocessor(batch, training=True)  # type: ignore[operator]
    if isinstance(data, dict):
        model(**data, mode="loss")
    else:
        model(*data, mode="loss")


@contextmanager
def _random_states_kept() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
