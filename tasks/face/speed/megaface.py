"""How long matching takes on made-up embeddings, beside the bare matrix products."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tasks.face.evaluation.megaface.matching import block_rows
from tasks.face.evaluation.megaface.probes import Probes
from tasks.face.evaluation.megaface.protocol import evaluate
from tasks.face.evaluation.megaface.rows import UnitRows
from tasks.face.evaluation.megaface.sets import first_rows

_IMAGES = 44  # of one person, about as many as among the probes of MegaFace
_NOISY = 0.15
_SPREAD = 0.7
_BLOCK = 1 << 14


@dataclass(frozen=True)
class Speed:
    """What matching cost.

    Attributes:
        seconds: For the whole evaluation, without making the embeddings.
        products: Seconds for the bare matrix products of the same blocks, without reading them.
        operations: Floating-point operations of the matrix products.
        peak_bytes: Highest resident memory of the process, pages of the mapped file included.
        rank1: What came out, as a share.
    """

    seconds: float
    products: float
    operations: float
    peak_bytes: int
    rank1: float


def made_up(
    folder: Path, probes: int, distractors: int, dim: int, seed: int = 0
) -> tuple[Probes, UnitRows]:
    """Random embeddings: people with some noisy images, and unrelated distractors in a file.

    Args:
        folder: For the file.
        probes: Number of probes, at least 2.
        distractors: Number of distractors.
        dim: Length of an embedding.
        seed: Of the random numbers.
    """
    random = np.random.default_rng(seed)
    people = np.arange(probes) * max(1, probes // _IMAGES) // probes
    centres = _units(random, people.max() + 1, dim)
    spread = _units(random, probes, dim) * _SPREAD
    embeddings = centres[people] + spread
    noisy = random.random(probes) < _NOISY
    embeddings[noisy] = _units(random, np.count_nonzero(noisy), dim)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    names = [f"p{person}/{place}.jpg" for place, person in enumerate(people)]
    persons = [f"p{person}" for person in range(people.max() + 1)]
    path = folder / "embeddings.npy"
    mapped = np.lib.format.open_memmap(path, "w+", np.float32, (distractors, dim))
    for start in range(0, distractors, _BLOCK):
        count = min(_BLOCK, distractors - start)
        mapped[start : start + count] = _units(random, count, dim)
    mapped.flush()
    del mapped
    rows = UnitRows(str(path), list(map(str, range(distractors))), np.load(path, mmap_mode="r"))
    return Probes(embeddings, people, persons, names, "made up"), rows


def measure(
    probes: Probes,
    distractors: UnitRows,
    device: str = "cpu",
    progress: Callable[[int, int, int, int], None] | None = None,
) -> Speed:
    """Evaluate on 10, 100 and so on up to all distractors in one pass.

    Args:
        probes: The probes.
        distractors: The distractors.
        device: Where to compute.
        progress: See `evaluate`.
    """
    count, dim = distractors.embeddings.shape
    sets = first_rows(np.arange(count), None, distractors.source)
    begin = time.perf_counter()
    results = evaluate(probes, distractors, sets, device=device, progress=progress)
    seconds = time.perf_counter() - begin
    # Before the products, which need memory of their own.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    products = _bare_products(probes, distractors, device)
    operations = 2.0 * len(probes.embeddings) * count * dim
    return Speed(seconds, products, operations, peak, results[-1].cmc[1])


def _bare_products(probes: Probes, distractors: UnitRows, device: str) -> float:
    one = torch.from_numpy(probes.embeddings).to(device)
    count, size = len(distractors.embeddings), block_rows(len(one))
    block = torch.from_numpy(distractors.embeddings[:size].copy()).to(device)
    scores = one.new_empty(len(one) * len(block))
    lengths = [min(size, count - start) for start in range(0, count, size)]
    begin = time.perf_counter()
    for length in lengths:
        out = scores[: len(one) * length].view(len(one), length)
        torch.mm(one, block[:length].T, out=out)
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def _units(random: np.random.Generator, count: int, dim: int) -> np.ndarray:
    rows = random.standard_normal((count, dim), np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
