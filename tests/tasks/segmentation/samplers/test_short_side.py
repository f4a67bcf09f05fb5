from __future__ import annotations

import pickle

import pytest
from mmseg.registry import DATASETS

import tasks.segmentation  # noqa: F401  registers the data sets
from tasks.data_checks import DatasetError

PIPELINE = [
    {"type": "LoadImageFromFile"},
    {"type": "LoadAnnotations"},
    {"type": "ResizeShortSide"},
    {"type": "PackSegInputs"},
]


def build(folder, short_sides=(12, 18, 24), pipeline=PIPELINE, **changes):
    inner = folder.config(pipeline=pipeline, **changes)
    return DATASETS.build(
        {"type": "ShortSideDataset", "dataset": inner, "short_sides": short_sides}
    )


def test_every_image_at_every_size(ade20k) -> None:
    dataset = build(ade20k)
    assert len(dataset) == 6
    shapes = [tuple(dataset[index]["inputs"].shape[1:]) for index in range(6)]
    assert shapes == [(12, 16), (18, 24), (24, 32), (18, 12), (27, 18), (36, 24)]
    labels = [tuple(dataset[index]["data_samples"].gt_sem_seg.shape) for index in range(6)]
    assert labels == shapes
    assert dataset.metainfo == dataset.dataset.metainfo
    assert dataset.get_data_info(4)["img_path"] == str(ade20k.images[1])
    assert dataset.get_data_info(4)["short_side"] == 18
    with pytest.raises(IndexError):
        dataset[6]


def test_groups(ade20k) -> None:
    dataset = build(ade20k)
    groups = [dataset.group_of(index) for index in range(6)]
    assert groups == [(False, 12), (False, 18), (False, 24), (True, 12), (True, 18), (True, 24)]
    copied = pickle.loads(pickle.dumps(dataset))  # as a spawned worker gets it
    assert [copied.group_of(index) for index in range(6)] == groups


def test_lazy(ade20k) -> None:
    ade20k.images[0].rename(ade20k.root / "elsewhere.jpg")
    inner = ade20k.config(pipeline=PIPELINE, lazy_init=True)
    config = {"type": "ShortSideDataset", "dataset": inner, "short_sides": (9,)}
    dataset = DATASETS.build(config | {"lazy_init": True})
    (ade20k.root / "elsewhere.jpg").rename(ade20k.images[0])
    dataset.full_init()
    assert len(dataset) == 2


def test_sizes_have_to_be_known(ade20k) -> None:
    with pytest.raises(
        DatasetError, match=r"sizes of 2 of 2 images are not known, .*check_files_up"
    ):
        build(ade20k, check_files_up_to=1)


def test_mistakes(ade20k) -> None:
    with pytest.raises(ValueError, match="has no ResizeShortSide"):
        build(ade20k, pipeline=PIPELINE[:2])
    for wrong in ((), (0, 5)):
        with pytest.raises(ValueError, match="short_sides is"):
            build(ade20k, short_sides=wrong)
