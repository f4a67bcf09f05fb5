"""Batches from workers are what one process makes, and stay so while they are held."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader

from tasks.face.datasets import FaceRecordDataset
from tasks.face.transforms import face_collate
from tasks.face.transforms.reused_arrays import reused_empty

PIPELINE = [{"type": "DecodeFace"}, {"type": "PackFace"}]


@pytest.fixture
def dataset(write_records):
    return FaceRecordDataset(str(write_records((10, 10, 5))), pipeline=PIPELINE)


def loader(dataset, workers: int, **options) -> DataLoader:
    return DataLoader(
        dataset,
        batch_size=3,
        num_workers=workers,
        collate_fn=face_collate,
        persistent_workers=workers > 0,
        multiprocessing_context="fork" if workers else None,
        **options,
    )


def assert_same(ours, expected) -> None:
    assert len(ours) == len(expected)
    for one, other in zip(ours, expected, strict=True):
        assert torch.equal(one["inputs"], other["inputs"])
        assert torch.equal(one["data_samples"], other["data_samples"])


@pytest.mark.parametrize("prefetch", [2, 9])
def test_batches_of_workers_that_are_held(dataset, prefetch):
    """More batches than there are slots, all of them kept; far ahead, some have no slot."""
    expected = list(loader(dataset, 0))
    assert len(expected) == 9
    ours = loader(dataset, 2, prefetch_factor=prefetch)
    first, second = list(ours), list(ours)
    assert_same(first, expected)
    assert_same(second, expected)
    assert first[0]["inputs"].shape == (3, 3, 112, 112)
    assert first[0]["inputs"].is_contiguous(memory_format=torch.channels_last)


def test_an_epoch_that_is_left_early(dataset):
    ours = loader(dataset, 2)
    for _ in range(6):
        next(iter(ours))
    assert_same(list(ours), list(loader(dataset, 0)))


def test_an_array_is_used_again_once_it_is_let_go():
    shape = (2, 5, 7, 3)
    array = reused_empty(shape)
    array[:] = 7
    place = array.ctypes.data
    view = torch.from_numpy(array).permute(0, 3, 1, 2)[1:]
    del array
    others = [reused_empty(shape) for _ in range(10)]
    for other in others:
        other[:] = 0
    assert (view == 7).all()
    places = {other.ctypes.data for other in others}
    assert len(places | {place}) == 11
    del view, others, other
    assert reused_empty(shape).ctypes.data in places | {place}
