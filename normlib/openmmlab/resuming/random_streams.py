"""Randomness that depends on where a training stands, and not on how it came there.

Every batch and every iteration has a random stream of its own, which follows from the seed of the
run and its place. A run that is resumed draws what it would have drawn without the interruption,
whatever validations, workers and prefetched batches came between, and no generator has to be saved.
"""

from __future__ import annotations

import random
from hashlib import blake2b
from struct import pack

import numpy as np
import torch

_BATCH, _ITERATION = 0, 1


def batch_seed(seed: int, epoch: int, place: int) -> int:
    """The seed of a batch's stream, from which the augmentation of its samples is drawn.

    Args:
        seed: Of the run.
        epoch: Of the sampler, which counts from 0; one that never ends stays in epoch 0.
        place: Of the first sample among those that all ranks draw in the epoch.

    Returns:
        A number below 2^32, the same for every number of workers.
    """
    return _mixed(_BATCH, seed, epoch, place)


def iteration_seed(seed: int, iteration: int, rank: int) -> int:
    """The seed of an iteration's stream on one rank: dropout, sampled proposals and the like.

    Args:
        seed: Of the run.
        iteration: Counted from 0.
        rank: Of the process.

    Returns:
        A number below 2^32.
    """
    return _mixed(_ITERATION, seed, iteration, rank)


def begin(seed: int) -> None:
    """Have Python, numpy and torch, on the CPU and the current GPU, draw from a stream."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  the generator that transforms draw from
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.default_generators[torch.cuda.current_device()].manual_seed(seed)


def _mixed(*numbers: int) -> int:
    # A hash: streams of neighbouring numbers must have nothing in common.
    text = pack(f"<{len(numbers)}q", *numbers)
    return int.from_bytes(blake2b(text, digest_size=4).digest(), "little")
