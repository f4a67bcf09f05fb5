"""Training loops that go on anywhere: in the middle of an epoch, too, and without reading data."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mmengine.dist import get_rank
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from normlib.openmmlab.resuming import random_streams
from normlib.openmmlab.resuming.data_loading import CheckedLoader


@LOOPS.register_module()
class ExactEpochLoop(EpochBasedTrainLoop):
    """mmengine's loop of epochs; one that is resumed within an epoch does the rest of it.

    Every iteration draws from a random stream of its own, see
    :func:`normlib.openmmlab.resuming.random_streams.iteration_seed`.

    Attributes:
        batches_done: Of the epoch, this one included.
        validates_first: Whether the validation after the last finished epoch is still due.
    """

    batches_done = 0
    validates_first = False

    def run(self) -> Any:
        """Train."""
        runner = self.runner
        runner.call_hook("before_train")
        if self.validates_first:
            self.validates_first = False
            runner.val_loop.run()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._decide_current_val_interval()
            if self.validates_after(self._epoch):
                runner.val_loop.run()
        runner.call_hook("after_train")
        return runner.model

    def run_epoch(self) -> None:
        """Iterate over what is left of an epoch."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        if isinstance(self.dataloader, CheckedLoader) and self.batches_done:
            self.dataloader.batches.skip(self.batches_done)
        with _ending(iter(self.dataloader)) as batches:
            if not isinstance(self.dataloader, CheckedLoader):
                _read_past(batches, self.batches_done)
            for number, batch in enumerate(batches, self.batches_done):
                self.run_iter(number, batch)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1
        self.batches_done = 0

    def run_iter(self, idx: int, data_batch: Sequence[dict[str, Any]]) -> None:
        """Do one iteration with its random stream."""
        self.batches_done = idx + 1
        _begin_iteration(self)
        super().run_iter(idx, data_batch)

    def validates_after(self, epochs: int) -> bool:
        """Whether there is a validation after so many epochs."""
        due = epochs % self.val_interval == 0 or epochs == self._max_epochs
        return self.runner.val_loop is not None and epochs >= self.val_begin and due


@LOOPS.register_module()
class ExactIterLoop(IterBasedTrainLoop):
    """mmengine's loop of iterations; one that is resumed reads no data that it has seen.

    Every iteration draws from a random stream of its own, see
    :func:`normlib.openmmlab.resuming.random_streams.iteration_seed`.

    Attributes:
        validates_first: Whether the validation after the last iteration is still due.
    """

    validates_first = False

    def run(self) -> Any:
        """Train."""
        runner = self.runner
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        if self.validates_first:
            self.validates_first = False
            runner.val_loop.run()
        if isinstance(self.dataloader, CheckedLoader):
            self.dataloader_iterator = self._endless(self.dataloader)
        else:
            _read_past(self.dataloader_iterator, self._iter)
        with _ending(self.dataloader_iterator) as batches:
            while self._iter < self._max_iters and not self.stop_training:
                runner.model.train()
                self.run_iter(next(batches))
                self._decide_current_val_interval()
                if self.validates_after(self._iter):
                    runner.val_loop.run()
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        return runner.model

    def run_iter(self, data_batch: Sequence[dict[str, Any]]) -> None:
        """Do one iteration with its random stream."""
        _begin_iteration(self)
        super().run_iter(data_batch)

    def _endless(self, loader: CheckedLoader) -> Iterator[Any]:
        """Batches from this iteration on, of one epoch of the sampler after the other."""
        epoch = loader.batches.skip(self._iter)
        while True:
            yield from loader
            epoch += 1
            loader.batches.set_epoch(epoch)

    def validates_after(self, iterations: int) -> bool:
        """Whether there is a validation after so many iterations."""
        due = iterations % self.val_interval == 0 or iterations == self._max_iters
        return self.runner.val_loop is not None and iterations >= self.val_begin and due


@contextmanager
def _ending(batches: Iterator[Any]) -> Iterator[Iterator[Any]]:
    """End the workers that read batches, at once and not when all else that refers to them goes."""
    try:
        yield batches
    finally:
        if isinstance(batches, Generator):
            batches.close()


def _read_past(batches: Iterator[Any], count: int) -> None:
    """Leave batches of a stream, or of a loader that a user has built, behind by reading them."""
    for _ in range(count):
        next(batches, None)


def _begin_iteration(loop: EpochBasedTrainLoop | IterBasedTrainLoop) -> None:
    seed = random_streams.iteration_seed(loop.runner.seed, loop.iter, get_rank())
    random_streams.begin(seed)
