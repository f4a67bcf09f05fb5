"""Memory in which the workers of a loader hand over batches, used again and again.

PyTorch takes new shared memory for every batch. The operating system clears each of its pages, and
maps it in two processes, which can take half as long as decoding the images.
"""

from __future__ import annotations

import itertools
import math
import mmap
import multiprocessing
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from .reused_arrays import reused_empty

_WORKERS, _SLOTS = 16, 4  # a worker has two batches ahead, unless its loader says otherwise
_SLOT_BYTES = 256 * 112 * 112 * 3
_numbers = itertools.count()
_memories: WeakValueDictionary[int, BatchMemory] = WeakValueDictionary()


class BatchMemory:
    """Slots for batches in memory that a process shares with the workers that it forks.

    It has to be made before they are forked. Address space is reserved; pages are taken as they are
    used. A worker without a free slot, one of many or a spawned one, gets none.

    Args:
        slots: Whether there are any.
    """

    def __init__(self, slots: bool = True) -> None:
        self._number = next(_numbers)
        self._map: mmap.mmap | None = None
        self._taken = 0
        self._free: list[Any] = []
        _memories[self._number] = self
        if not slots:
            return
        try:
            context = multiprocessing.get_context("fork")
            self._map = mmap.mmap(-1, _WORKERS * _SLOTS * _SLOT_BYTES)
            self._free = [context.Semaphore(_SLOTS) for _ in range(_WORKERS)]
        except (OSError, ValueError):  # no room, or a system without them
            pass

    def __reduce__(self) -> tuple[Any, ...]:
        # What a spawned worker writes could not be seen here.
        return BatchMemory, (False,)

    def take(self, shape: tuple[int, ...]) -> Slot | None:
        """A slot for a batch, if this process is a worker and has one that is free.

        Args:
            shape: Of the batch, of uint8.
        """
        worker = get_worker_info()
        if worker is None or worker.id >= len(self._free) or math.prod(shape) > _SLOT_BYTES:
            return None
        if not self._free[worker.id].acquire(block=False):
            return None
        # The batches of a worker are taken out in the order in which it has put them in.
        slot = Slot(self, worker.id, self._taken % _SLOTS, shape)
        self._taken += 1
        return slot

    def array(self, worker: int, place: int, shape: tuple[int, ...]) -> np.ndarray:
        """The content of a slot."""
        assert self._map is not None
        begin = (worker * _SLOTS + place) * _SLOT_BYTES
        return np.frombuffer(self._map, np.uint8, math.prod(shape), begin).reshape(shape)

    def give_back(self, worker: int) -> None:
        """Let a worker use its oldest slot again."""
        self._free[worker].release()


class Slot:
    """A batch of images in a slot: sent to the process that made the memory, it becomes a tensor.

    Attributes:
        images: The batch, uint8 of shape (images, height, width, 3).
    """

    def __init__(
        self, memory: BatchMemory, worker: int, place: int, shape: tuple[int, ...]
    ) -> None:
        self._at = memory._number, worker, place, shape
        self.images = memory.array(worker, place, shape)

    def __reduce__(self) -> tuple[Any, ...]:
        return _as_tensor, self._at


def _as_tensor(number: int, worker: int, place: int, shape: tuple[int, ...]) -> Tensor:
    """A batch copied out of its slot, uint8 of shape (images, 3, height, width)."""
    memory = _memories[number]
    images = reused_empty(shape)
    np.copyto(images, memory.array(worker, place, shape))
    memory.give_back(worker)
    return torch.from_numpy(images).permute(0, 3, 1, 2)
