"""Dataloaders that can begin anywhere, and know which sample each of their workers holds."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any
from weakref import WeakSet

from mmengine.dist import get_rank, get_world_size
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, get_worker_info

from normlib.openmmlab.errors import TrainingError
from normlib.openmmlab.resuming import random_streams

# What torch says when a worker has gone, instead of raising an error of its own.
_DEAD = re.compile(r"DataLoader worker \(pid\(?s?\)? ([\d, ]+)\) (.+?)\.? *$", re.MULTILINE)
_PATHS = ("img_path", "video_path", "path", "filename", "file_name")
_ADVICE = (
    "Where memory or shared memory ran out (the system log tells), give fewer num_workers, a "
    "smaller batch_size, or more of it (docker run --shm-size, an emptyDir of medium Memory)"
)
# In a worker: its slots of the loader's array, pid and the number of the sample that it holds.
_held: Any = None
_loaders: WeakSet[CheckedLoader] = WeakSet()


class CheckedLoader(DataLoader[Any]):
    """A DataLoader that can leave out batches without reading their samples.

    Its workers, and the data that they prefetch, start when the first batch is asked for. Each
    batch is read with a random stream of its own, see
    :func:`normlib.openmmlab.resuming.random_streams.batch_seed`, whoever reads it.

    Attributes:
        batches: What is drawn.
    """

    batches: DrawnBatches

    @classmethod
    def of(cls, loader: DataLoader[Any], seed: int) -> DataLoader[Any]:
        """A loader of the same data.

        Args:
            loader: One that has not started. Of a stream of data, or without batches, it is
                returned as it is.
            seed: Of the random streams.
        """
        if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
            return loader
        slots = RawArray("q", [-1] * (2 * loader.num_workers)) if loader.num_workers else None
        batches = DrawnBatches(loader.batch_sampler, seed)
        checked = cls(
            loader.dataset,
            batch_sampler=batches,
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            pin_memory=loader.pin_memory,
            timeout=loader.timeout,
            worker_init_fn=partial(_begin_worker, slots, loader.worker_init_fn),
            multiprocessing_context=loader.multiprocessing_context,
            generator=loader.generator,
            prefetch_factor=loader.prefetch_factor,
            persistent_workers=loader.persistent_workers,
            in_order=loader.in_order,
        )
        checked.batches, checked._slots = batches, slots
        _loaders.add(checked)
        return checked

    _slots: Any = None

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """The batches; nothing is drawn before the first is asked for."""
        # Torch looks for this method, which is given whole batches of what the sampler drew.
        fetch = partial(_fetch, self.dataset)
        self.dataset.__getitems__ = fetch  # type: ignore[attr-defined]
        with _blocking_sigterm():
            batches = super().__iter__()
        yield from batches

    def stop_workers(self) -> None:
        """End workers that wait for another epoch."""
        self._iterator = None

    def held_by(self, pid: int) -> str | None:
        """The sample that a worker was reading, by its file where the data set tells; else None."""
        for place, index in self.held():
            if place == pid:
                return sample_name(self.dataset, index) if index >= 0 else "no sample"
        return None

    def held(self) -> list[tuple[int, int]]:
        """The workers by their process ids, and the samples that they hold; -1 for none."""
        slots = list(self._slots or ())
        return list(zip(slots[::2], slots[1::2], strict=True))


class DrawnBatches(BatchSampler):
    """The batches of another sampler, each with the seed of its stream.

    ``sampler``, ``batch_size`` and ``drop_last`` are those of the other one.

    Args:
        batches: The sampler of batches.
        seed: Of the run.
    """

    def __init__(self, batches: Any, seed: int) -> None:
        self.sampler: Any = getattr(batches, "sampler", None)
        self.batch_size = getattr(batches, "batch_size", 0)
        self.drop_last = getattr(batches, "drop_last", False)
        self._batches = batches
        self._seed = seed
        self._begun: Iterator[tuple[int, list[Any]]] | None = None

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[Any]]:
        batches, self._begun = self._begun or self._draw(), None
        epoch, rank, ranks = getattr(self.sampler, "epoch", 0), get_rank(), get_world_size()
        for place, batch in batches:
            seed = random_streams.batch_seed(self._seed, epoch, place * ranks + rank)
            yield _Drawn(batch, seed)

    def skip(self, count: int) -> int:
        """Have the next iteration leave out batches.

        Args:
            count: Their number; of a sampler that ends, more than one epoch may have.

        Returns:
            The epochs among them.
        """
        epochs, self._begun = 0, self._draw()
        while count:
            if next(self._begun, None) is None:
                epochs += 1
                self.set_epoch(epochs)
                self._begun = self._draw()
            else:
                count -= 1
        return epochs

    def set_epoch(self, epoch: int) -> None:
        """Have the sampler shuffle for another epoch."""
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def _draw(self) -> Iterator[tuple[int, list[Any]]]:
        """Batches, and the place of their first sample among those of this rank."""
        place = 0
        for batch in self._batches:
            yield place, batch
            place += len(batch)


@contextmanager
def naming_dead_workers() -> Iterator[None]:
    """Say what a worker of a loader was reading when it was killed or crashed.

    Raises:
        TrainingError: A worker has gone.
    """
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        try:
            named = _name(error)
        except RuntimeError as again:
            # Torch raises, wherever the process is, when it is told that a worker has gone.
            named = _name(again)
        if named is None:
            raise
        raise named from error


def _name(error: Exception) -> TrainingError | None:
    """What an error says of a worker that has gone; None where it is about something else."""
    told = _DEAD.search(str(error))
    if told is None and not _is_broken_connection(error):
        return None
    pids = [int(pid) for pid in told[1].split(",")] if told else _gone()
    held = [
        f"process {pid} held {sample}"
        for pid in pids
        for loader in _loaders
        if (sample := loader.held_by(pid)) is not None
    ]
    how = told[2] if told else "has gone while its batch was received"
    what = "".join(f": {one}" for one in ["; ".join(held)] if one)
    return TrainingError(f"a DataLoader worker {how}{what}. {_ADVICE}")


def _is_broken_connection(error: Exception) -> bool:
    """Whether a loader lost one of its workers in the middle of what that was sending."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    loading = any(name.endswith("torch/utils/data/dataloader.py") for name in files)
    return loading and any("/multiprocessing/" in name for name in files)


def _gone() -> list[int]:
    """Workers that hold a sample and are no more, or have only their exit code left."""
    return [
        place
        for loader in _loaders
        for place, index in loader.held()
        if index >= 0 and not _is_alive(place)
    ]


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def sample_name(dataset: Dataset[Any], index: int) -> str:
    """What a data set calls a sample: its number and, where it tells of one, its file."""
    try:
        info = dataset.get_data_info(index)  # type: ignore[attr-defined]
    except Exception:  # whatever a data set does about a question that it does not expect
        info = None
    if isinstance(info, Mapping):
        for key in _PATHS:
            if isinstance(info.get(key), str):
                return f"sample {index}: {info[key]}"
    return f"sample {index}"


class _Drawn(list[Any]):
    """The numbers of the samples of a batch; a worker takes note of each that is taken.

    Attributes:
        seed: Of the random stream that the batch is read with.
    """

    def __init__(self, indices: Iterable[Any], seed: int) -> None:
        super().__init__(indices)
        self.seed = seed

    def __iter__(self) -> Iterator[Any]:
        for index in super().__iter__():
            _hold(index)
            yield index


def _fetch(dataset: Any, indices: list[Any]) -> Any:
    """Read the samples of a batch, as the data set does where it reads batches itself.

    The data set may be another loader's as well, whose batches have no random stream.
    """
    if isinstance(indices, _Drawn):
        random_streams.begin(indices.seed)
    own = getattr(type(dataset), "__getitems__", None)
    samples = [dataset[index] for index in indices] if own is None else own(dataset, indices)
    if isinstance(indices, _Drawn):
        _hold(-1)
    return samples


def _hold(index: Any) -> None:
    worker = get_worker_info()
    if worker is not None and _held is not None and isinstance(index, int):
        _held[2 * worker.id + 1] = index


def _begin_worker(slots: Any, begin: Any, worker: int) -> None:
    global _held
    _held = slots
    slots[2 * worker] = os.getpid()
    _end_for_parent_alone()
    if begin is not None:
        begin(worker)


@contextmanager
def _blocking_sigterm() -> Iterator[None]:
    """Have every thread of a worker that starts now block SIGTERM.

    Libraries start threads in it before its own code runs; one that does not block the signal
    could be given it, and end the worker.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_for_parent_alone() -> None:
    """Leave signals to a whole group of processes to the parent, which needs its workers to save.

    Schedulers and torchrun signal workers, too. DataLoader ends its own by SIGTERM from the parent.
    """
    for number in (signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # where a fork server started it
    starter = multiprocessing.parent_process()  # not the fork server, which os.getppid() names
    parent = starter.pid if starter is not None else os.getppid()

    def wait() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
