"""Matching probes against very many distractors, by blocks of bounded memory.

The blocks are the same for every number of processes, which share them out, so that sums are
rounded alike. Scores are float32; a product that the processor rounds otherwise in another shape of
matrix (a genuine pair against a distractor of the very same embedding) may differ in its last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.dist import all_gather, all_reduce, get_rank, get_world_size
from torch import Tensor

from .counts import count_at_least
from .highest import HighestScores
from .rows import UnitRows, read_ahead

_ROWS = 1 << 14
_SCORES = 1 << 26  # in one block


@dataclass(frozen=True)
class Matches:
    """What probes and some distractors have in common.

    Attributes:
        distractors: Their number.
        counts: Distractors at least as similar as each threshold, int64 of shape (P, T).
        highest: The highest impostor scores, float32 of shape (kept,), descending.
    """

    distractors: int
    counts: np.ndarray
    highest: np.ndarray


def block_rows(probes: int) -> int:
    """Distractors in a block, so that its scores against this many probes stay within 256 MiB."""
    return min(_ROWS, max(1, _SCORES // max(1, probes)))


def match(
    probes: Tensor,
    thresholds: Tensor,
    distractors: UnitRows,
    segments: Sequence[np.ndarray],
    keep: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
    size: int | None = None,
) -> list[Matches]:
    """Compare each probe with each distractor by the scalar product.

    All processes of the default group have to call this with the same arguments, and get the same.

    Args:
        probes: float32 of shape (P, D), unit vectors, P at least 1; on the device to work on.
        thresholds: float32 of shape (P, T) on the same device, ascending, see
            :func:`count_at_least`.
        distractors: Unit vectors of D numbers.
        segments: Rows of `distractors`, int64 of shape (n,) each and disjoint.
        keep: For each segment, how many of the highest scores are wanted of it and those before.
        progress: Told how many blocks of this process are done, and of how many.
        size: Distractors in a block, instead of :func:`block_rows`.

    Returns:
        For each segment the matches with the distractors of it and those before.

    Raises:
        DatasetError: A distractor is no unit vector.
    """
    size, rank, world = size or block_rows(len(probes)), get_rank(), get_world_size()
    starts = [range(0, len(segment), size) for segment in segments]
    mine = [blocks[len(blocks) * rank // world : len(blocks) * (rank + 1) // world]
            for blocks in starts]  # fmt: skip
    done, total = 0, sum(map(len, mine))
    counts = torch.zeros(thresholds.shape, dtype=torch.int64, device=probes.device)
    highest = HighestScores(max(keep))
    space = probes.new_empty(len(probes) * min(size, max(map(len, segments))))
    found = []
    for index, (segment, blocks) in enumerate(zip(segments, mine, strict=True)):

        def read(start: int, rows: np.ndarray = segment) -> np.ndarray:
            return distractors.take(rows[start : start + size])

        for block in read_ahead(read, blocks):
            scores = space[: len(probes) * len(block)].view(len(probes), len(block))
            torch.mm(probes, torch.from_numpy(block).to(probes.device).T, out=scores)
            count_at_least(scores, thresholds, counts)
            highest.add(scores)
            done += 1
            if progress is not None:
                progress(done, total)
        seen = sum(map(len, segments[: index + 1]))
        found.append(_over_processes(seen, counts, highest.highest(keep[index]), keep[index]))
    return found


def _over_processes(seen: int, counts: Tensor, highest: Tensor, keep: int) -> Matches:
    counts = counts.cpu().clone()
    all_reduce(counts)
    padded = torch.full((keep,), float("-inf"))
    padded[: len(highest)] = highest
    merged = torch.cat([part.cpu() for part in all_gather(padded)])
    merged = torch.topk(merged, keep).values
    return Matches(seen, counts.numpy(), merged[torch.isfinite(merged)].numpy())
