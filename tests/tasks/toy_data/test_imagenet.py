from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from tasks.toy_data.imagenet import CLASSES, ImageNetToy, generate

TOY = ImageNetToy(train=4, val=2, size=32, seed=3)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    generate(folder, TOY)
    return folder


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.jpg"))
    }


def test_layout(toy: Path) -> None:
    assert len(CLASSES) == 8
    for split, count in (("train", 4), ("val", 2)):
        assert sorted(path.name for path in (toy / split).iterdir()) == list(CLASSES)
        for name in CLASSES:
            pictures = sorted((toy / split / name).iterdir())
            assert len(pictures) == count
            assert cv2.imread(str(pictures[0])).shape == (32, 32, 3)
    assert TOY.pictures == {"train": 32, "val": 16}


def test_same_parameters_give_the_same_bytes(toy: Path, tmp_path: Path) -> None:
    generate(tmp_path, TOY)
    assert _digests(tmp_path) == _digests(toy)


def test_every_picture_is_another_one(toy: Path, tmp_path: Path) -> None:
    generate(tmp_path, ImageNetToy(train=4, val=2, size=32, seed=4))
    digests = [*_digests(toy).values(), *_digests(tmp_path).values()]
    assert len(set(digests)) == 2 * sum(TOY.pictures.values())


def test_colour_tells_warm_from_cold(toy: Path) -> None:
    def redness(name: str) -> float:
        pictures = [cv2.imread(str(p)).astype(float) for p in (toy / "train" / name).iterdir()]
        centre = [p[12:20, 12:20].mean((0, 1)) for p in pictures]
        return float(np.mean([c[2] - c[0] for c in centre]))

    assert min(redness(f"warm_{s}") for s in ("circle", "square")) > max(
        redness(f"cold_{s}") for s in ("circle", "square")
    )


def test_progress_counts_pictures(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    generate(tmp_path, ImageNetToy(1, 1, 16), lambda *call: calls.append(call))
    assert calls == [(k + 1, 16) for k in range(16)]
