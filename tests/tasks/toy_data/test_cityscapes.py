from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

import normlib.openmmlab  # noqa: F401  serves the operators that mmseg imports

# isort: split
from mmseg.datasets import CityscapesDataset

from tasks.toy_data.cityscapes import CITIES, CityscapesToy, generate
from tasks.toy_data.cityscapes_labels import CLASSES, IDS, TRAIN_IDS

TOY = CityscapesToy(train=6, val=6, size=64, seed=3)


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


def _maps(folder: Path, split: str, kind: str) -> list[np.ndarray]:
    paths = sorted((folder / "gtFine" / split).glob(f"*/*_gtFine_{kind}.png"))
    return [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths]


@pytest.mark.parametrize("split", ["train", "val"])
def test_layout(toy: Path, split: str) -> None:
    images = sorted((toy / "leftImg8bit" / split).glob("*/*"))
    assert len(images) == getattr(TOY, split)
    assert {path.parent.name for path in images} == set(CITIES[split])
    for path in images:
        city, sequence, frame, kind = path.name.split("_")
        assert (city, frame, kind) == (path.parent.name, "000019", "leftImg8bit.png")
        assert cv2.imread(str(path)).shape == (64, 128, 3)
        for kind in ("labelIds", "labelTrainIds"):
            name = f"{city}_{sequence}_{frame}_gtFine_{kind}.png"
            labels = cv2.imread(str(toy / "gtFine" / split / city / name), cv2.IMREAD_UNCHANGED)
            assert labels.shape == (64, 128)
            assert labels.dtype == np.uint8
    assert len(list((toy / "gtFine" / split).glob("*/*"))) == 2 * len(images)
    first = CITIES[split][0]
    assert (toy / "leftImg8bit" / split / first / f"{first}_000000_000019_leftImg8bit.png").exists()


def test_no_city_is_in_both_splits() -> None:
    assert not set(CITIES["train"]) & set(CITIES["val"])


def test_classes_are_those_of_mmseg() -> None:
    assert tuple(CLASSES) == CityscapesDataset.METAINFO["classes"]
    assert TRAIN_IDS[list(CLASSES.values())].tolist() == list(range(19))
    # From the public table: id 0 to 33 and the training id of each.
    official = [255] * 7 + [0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255, 6, 7, 8, 9, 10, 11, 12]
    official += [13, 14, 15, 255, 255, 16, 17, 18]
    assert TRAIN_IDS[:34].tolist() == official


@pytest.mark.parametrize("split", ["train", "val"])
def test_both_label_maps_agree(toy: Path, split: str) -> None:
    pairs = zip(_maps(toy, split, "labelIds"), _maps(toy, split, "labelTrainIds"), strict=True)
    for ids, train_ids in pairs:
        assert set(np.unique(ids)) <= set(IDS.values())
        np.testing.assert_array_equal(train_ids, TRAIN_IDS[ids])


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_class_occurs(toy: Path, split: str) -> None:
    labels = np.stack(_maps(toy, split, "labelTrainIds"))
    assert set(np.unique(labels)) == {*range(19), 255}
    assert 0.02 < (labels == 255).mean() < 0.2


def test_streets_are_the_right_way_up(toy: Path) -> None:
    ids = np.stack(_maps(toy, "train", "labelIds"))
    height = {name: np.nonzero(ids == IDS[name])[1].mean() for name in ("sky", "building", "road")}
    assert height["sky"] < height["building"] < height["road"]
    assert (ids[:, -3, 64] == IDS["ego vehicle"]).all()
    assert (ids[:, [0, -1]] == IDS["out of roi"]).all()


def test_larger_set_begins_with_the_same_bytes_as_the_smaller_one(
    toy: Path, tmp_path: Path
) -> None:
    generate(tmp_path, CityscapesToy(train=2, val=1, size=64, seed=3))
    large, small = _digests(toy), _digests(tmp_path)
    assert len(small) == 9
    assert all(small[name] == large[name] for name in small)


def test_every_picture_is_another_one(toy: Path, tmp_path: Path) -> None:
    generate(tmp_path, CityscapesToy(train=2, val=2, size=64, seed=4))
    files = [*toy.rglob("*_leftImg8bit.png"), *tmp_path.rglob("*_leftImg8bit.png")]
    assert len({path.read_bytes() for path in files}) == len(files) == 16


def test_progress_counts_pictures(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    generate(tmp_path, CityscapesToy(2, 1, 64), lambda *call: calls.append(call))
    assert calls == [(1, 3), (2, 3), (3, 3)]
