from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DATASETS
from PIL import Image

import tasks.classification  # noqa: F401
from tasks.data_checks import DatasetError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, colour in (("cat", (255, 0, 0)), ("dog", (0, 0, 255))):
        (tmp_path / name).mkdir()
        Image.new("RGB", (40, 30), colour).save(tmp_path / name / "1.jpg", quality=95)
    return tmp_path


def _build(root: Path, **changes: object) -> object:
    return DATASETS.build(dict(type="ImageClassDataset", data_root=str(root), **changes))


@pytest.mark.parametrize("pipeline", [[], [dict(type="LoadImageTensor")]])
def test_whole_images(root: Path, pipeline: list) -> None:
    dataset = _build(root, pipeline=pipeline)
    assert dataset.label_unit == "images"
    sample = dataset.examine(1)
    assert sample.file == str(root / "dog" / "1.jpg")
    assert sample.size == (40, 30)
    assert sample.labels == {1: 1}
    assert sample.problems == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"<html>", "is not an image"), (None, "is cut off")],
)
def test_images_that_cannot_be_read(root: Path, content: bytes | None, message: str) -> None:
    path = root / "cat" / "1.jpg"
    dataset = _build(root)
    path.write_bytes(path.read_bytes()[:-30] if content is None else content)
    sample = dataset.examine(0)
    assert sample.size is None
    assert sample.labels == {0: 1}
    assert len(sample.problems) == 1
    assert sample.problems[0].startswith(f"{path} {message}")
    with pytest.raises(DatasetError, match=message):
        dataset.picture(0)


def test_picture(root: Path) -> None:
    cat, dog = (_build(root).picture(index) for index in range(2))
    assert cat.dtype == np.uint8
    assert cat.shape[1] / cat.shape[0] == 40 / 30
    # Blue, green, red.
    assert np.abs(cat[-1, -1].astype(int) - (0, 0, 255)).max() < 8
    assert np.abs(dog[-1, -1].astype(int) - (255, 0, 0)).max() < 8
    for picture in (cat, dog):
        assert (picture[:20, :20] == 255).all(axis=-1).any()  # the name of the class


def test_a_list_without_class_names(root: Path) -> None:
    (root / "list.txt").write_text("cat/1.jpg 0\ndog/1.jpg 3\n")
    dataset = _build(root, ann_file="list.txt")
    assert dataset.examine(1).labels == {3: 1}
    assert dataset.picture(1).any()
