from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import Runner

import tasks.segmentation  # noqa: F401  registers the sampler


class Grouped(torch.utils.data.Dataset):
    """Of 23 samples, every third one is in another group."""

    def __len__(self) -> int:
        return 23

    def group_of(self, index: int) -> bool:
        return index % 3 == 0


def build(sampler, **options):
    config = {"type": "SameShapeBatchSampler", "sampler": sampler, "batch_size": 4}
    return DATA_SAMPLERS.build(config | options)


def test_endless_batches_are_of_one_group_and_miss_nothing() -> None:
    dataset = Grouped()
    batches = list(islice(build(InfiniteSampler(dataset, seed=0)), 100))
    assert {len(batch) for batch in batches} == {4}
    assert all(len({dataset.group_of(index) for index in batch}) == 1 for batch in batches)
    counts = Counter(index for batch in batches for index in batch)
    assert len(counts) == 23
    # 17 epochs and some; at most one incomplete batch of each group waits.
    assert max(counts.values()) <= 18
    assert min(counts.values()) >= 16


def test_the_order_is_that_of_the_sampler() -> None:
    dataset = Grouped()
    runs = [list(islice(build(InfiniteSampler(dataset, seed=1)), 20)) for _ in range(2)]
    assert runs[0] == runs[1]
    drawn = list(islice(InfiniteSampler(dataset, seed=1), 80))
    places = [[drawn.index(index) for index in batch] for batch in runs[0][:4]]
    assert all(place == sorted(place) for place in places)


@pytest.mark.parametrize("drop_last", [False, True])
def test_end(drop_last) -> None:
    dataset = Grouped()
    batches = build(DefaultSampler(dataset, shuffle=False), drop_last=drop_last)
    for _ in range(2):
        found = list(batches)
        assert len(found) == len(batches) == (5 if drop_last else 6)
        assert sorted(map(len, found))[0] == (4 if drop_last else 3)
        mixed = [len({dataset.group_of(index) for index in batch}) > 1 for batch in found]
        assert sum(mixed) <= 1
        if not drop_last:
            assert sorted(index for batch in found for index in batch) == list(range(23))


def test_data_set_without_groups() -> None:
    with pytest.raises(TypeError, match=r"samples of a list, .*wrap the data set in ShortSideData"):
        build(InfiniteSampler([1, 2, 3]))
    with pytest.raises(ValueError, match="batch_size"):
        build(InfiniteSampler(Grouped()), batch_size=0)


@pytest.mark.parametrize("workers", [0, 1])
def test_in_a_data_loader(ade20k, workers) -> None:
    pipeline = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations"},
        {"type": "ResizeShortSide"},
        {"type": "PackSegInputs"},
    ]
    inner = ade20k.config(pipeline=pipeline)
    loader = Runner.build_dataloader(
        {
            "batch_size": 2,
            "num_workers": workers,
            "sampler": {"type": "InfiniteSampler", "shuffle": True},
            "batch_sampler": {"type": "SameShapeBatchSampler"},
            "dataset": {"type": "ShortSideDataset", "dataset": inner, "short_sides": (12, 24)},
        },
        seed=0,
    )
    shapes = set()
    for batch in islice(loader, 12):
        assert len({tuple(image.shape) for image in batch["inputs"]}) == 1
        shapes.add(tuple(batch["inputs"][0].shape[1:]))
    assert shapes == {(12, 16), (24, 32), (18, 12), (36, 24)}
