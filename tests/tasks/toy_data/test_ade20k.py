from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

import normlib.openmmlab  # noqa: F401  serves the operators that mmseg imports

# isort: split
from mmseg.datasets import ADE20KDataset

from tasks.toy_data.ade20k import ADE20KToy, generate
from tasks.toy_data.ade20k_names import NAMES
from tasks.toy_data.ade20k_things import LABELS

TOY = ADE20KToy(train=12, val=8, size=80, seed=3)
FOLDERS = {"train": "training", "val": "validation"}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    generate(folder, TOY)
    return folder


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def _labels(folder: Path, split: str) -> list[np.ndarray]:
    paths = sorted((folder / "annotations" / FOLDERS[split]).iterdir())
    return [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths]


def test_names_are_those_of_mmseg() -> None:
    assert ADE20KDataset.METAINFO["classes"] == NAMES


@pytest.mark.parametrize("split", ["train", "val"])
def test_layout(toy: Path, split: str) -> None:
    count = getattr(TOY, split)
    names = [f"ADE_{split}_{number:08d}" for number in range(1, count + 1)]
    images, annotations = (toy / kind / FOLDERS[split] for kind in ("images", "annotations"))
    assert sorted(path.name for path in images.iterdir()) == [f"{name}.jpg" for name in names]
    assert sorted(path.name for path in annotations.iterdir()) == [f"{name}.png" for name in names]
    frames = set()
    for name, labels in zip(names, _labels(toy, split), strict=True):
        height, width = cv2.imread(str(images / f"{name}.jpg")).shape[:2]
        assert labels.shape == (height, width)
        assert labels.dtype == np.uint8
        assert max(height, width) == 80
        assert min(height, width) >= 60
        frames.add((height, width))
    assert any(height < width for height, width in frames)
    assert any(height > width for height, width in frames)
    assert TOY.pictures == {"train": 12, "val": 8}


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_class_and_some_pixels_without_one(toy: Path, split: str) -> None:
    labels = _labels(toy, split)
    assert set(np.unique(np.concatenate([one.ravel() for one in labels]))) == {0, *LABELS.values()}
    assert {1, 150} < set(LABELS.values())
    assert all(0.002 < (one == 0).mean() < 0.25 for one in labels)
    assert all((one == LABELS["wall"]).any() != (one == LABELS["sky"]).any() for one in labels)


def test_object_info_counts_the_set(toy: Path) -> None:
    header, *rows = (toy / "objectInfo150.txt").read_text().splitlines()
    assert header.split("\t") == ["Idx", "Ratio", "Train", "Val", "Name"]
    labels = {split: _labels(toy, split) for split in FOLDERS}
    pixels = np.concatenate([one.ravel() for split in FOLDERS for one in labels[split]])
    assert len(rows) == 150
    for number, row in enumerate(rows, 1):
        index, ratio, train, val, name = row.split("\t")
        assert (int(index), name) == (number, NAMES[number - 1])
        assert float(ratio) == pytest.approx((pixels == number).mean(), abs=6e-5)
        assert int(train) == sum((one == number).any() for one in labels["train"])
        assert int(val) == sum((one == number).any() for one in labels["val"])


def test_scene_of_every_picture(toy: Path) -> None:
    lines = (toy / "sceneCategories.txt").read_text().splitlines()
    scenes = dict(line.split(" ") for line in lines)
    assert len(lines) == len(scenes) == 20
    for split in FOLDERS:
        for number, labels in enumerate(_labels(toy, split), 1):
            inside = (labels == LABELS["wall"]).any()
            expected = "living_room" if inside else "park"
            assert scenes[f"ADE_{split}_{number:08d}"] == expected


def test_larger_set_begins_with_the_same_bytes_as_the_smaller_one(
    toy: Path, tmp_path: Path
) -> None:
    generate(tmp_path, ADE20KToy(train=3, val=1, size=80, seed=3))
    large, small = _digests(toy), _digests(tmp_path)
    pictures = [name for name in small if not name.endswith(".txt")]
    assert len(pictures) == 8
    assert all(small[name] == large[name] for name in pictures)


def test_every_picture_is_another_one(toy: Path, tmp_path: Path) -> None:
    generate(tmp_path, ADE20KToy(train=4, val=4, size=80, seed=4))
    files = [*toy.rglob("*.jpg"), *tmp_path.rglob("*.jpg")]
    assert len({path.read_bytes() for path in files}) == len(files) == 28


def test_progress_counts_pictures(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    generate(tmp_path, ADE20KToy(2, 1, 64), lambda *call: calls.append(call))
    assert calls == [(1, 3), (2, 3), (3, 3)]
