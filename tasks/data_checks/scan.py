"""A look at every sample of a data set, in worker processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from .problems import DatasetError
from .sample import Examinable, Sample

_CHUNK = 16  # samples that a worker hands over together
_NEEDED = ("metainfo", "label_unit", "examine", "picture")


@dataclass
class Findings:
    """What the samples of a data set are, summed up; no sample is kept.

    Attributes:
        samples: number of samples looked at.
        sizes: number of samples by (width, height); by None those whose size cannot be read.
        labels: how often each class occurs, by its index, in the data set's `label_unit`.
        samples_with: number of samples in which each class occurs, by its index.
        labelled: number of samples in which any class occurs.
        problems: index of a sample and what is wrong with it, one entry a problem.
        ignored: how many labels belong to no class.
    """

    samples: int = 0
    sizes: Counter[tuple[int, int] | None] = field(default_factory=Counter)
    labels: Counter[int] = field(default_factory=Counter)
    samples_with: Counter[int] = field(default_factory=Counter)
    labelled: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)
    ignored: int = 0

    def add(self, index: int, sample: Sample) -> None:
        """Take up one sample."""
        self.samples += 1
        self.sizes[sample.size] += 1
        counts = {int(label): int(count) for label, count in sample.labels.items() if count}
        self.labels.update(counts)
        self.ignored += sample.ignored
        self.samples_with.update(counts.keys())
        self.labelled += bool(counts)
        self.problems += [(index, text) for text in sample.problems]

    @property
    def troubled(self) -> list[int]:
        """Indices of the samples with problems."""
        return list(dict.fromkeys(index for index, _ in self.problems))


def spread(total: int, limit: int | None = None) -> list[int]:
    """Indices of all samples, or of `limit` evenly spread ones, first and last among them."""
    if limit is None or limit >= total:
        return list(range(total))
    return np.linspace(0, total - 1, limit).round().astype(int).tolist()


def check_examinable(dataset: Any) -> None:
    """Check that a data set can be looked through.

    Raises:
        DatasetError: it lacks a part of `Examinable`.
    """
    absent = [name for name in _NEEDED if not hasattr(dataset, name)]
    if absent:
        kind = type(dataset)
        raise DatasetError(
            f"a data set of type {kind.__name__} ({kind.__module__}) cannot be looked through: it "
            f"lacks {', '.join(absent)}; take a data set of this project's tasks, or add them as "
            "tasks/data_checks/sample.py describes"
        )
    if not dataset.metainfo.get("classes"):
        raise DatasetError(f"the metainfo of {type(dataset).__name__} names no classes")


def scan(
    dataset: Examinable,
    indices: Sequence[int],
    workers: int = 0,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Findings:
    """Look at samples. The result does not depend on the number of workers.

    Args:
        dataset: read whole, sample by sample, past its pipeline.
        indices: which samples.
        workers: processes; 0 for this one.
        progress: called with (samples looked at, samples in all).

    Raises:
        RuntimeError: a worker died. What `examine` raises comes through as well.
    """
    chunks = [list(indices[at : at + _CHUNK]) for at in range(0, len(indices), _CHUNK)]
    loader = DataLoader(
        _Chunks(dataset, chunks),
        batch_size=None,
        num_workers=min(workers, len(chunks)),
        collate_fn=_as_it_is,
    )
    findings = Findings()
    for chunk, samples in zip(chunks, loader, strict=True):
        for index, sample in zip(chunk, samples, strict=True):
            findings.add(index, sample)
        progress(findings.samples, len(indices))
    return findings


class _Chunks(Dataset):
    def __init__(self, dataset: Examinable, chunks: list[list[int]]) -> None:
        self.dataset = dataset
        self.chunks = chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, number: int) -> list[Sample]:
        return [self.dataset.examine(index) for index in self.chunks[number]]


def _as_it_is(samples: list[Sample]) -> list[Sample]:
    return samples
