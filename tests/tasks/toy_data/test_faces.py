from __future__ import annotations

import dataclasses
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

from tasks.face.datasets.recordio import RecordFile
from tasks.face.datasets.verification_bin import read_bin
from tasks.toy_data.face_capture import photograph
from tasks.toy_data.face_identity import random_identity
from tasks.toy_data.faces import FacesToy, generate

TOY = FacesToy(train=3, val=5, images=6, pairs=80, seed=3)
FILES = ("property", "toy.bin", "train.idx", "train.rec")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    generate(folder, TOY)
    return folder


def _decoded(content: bytes | np.ndarray) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)


def test_files(toy: Path) -> None:
    assert tuple(sorted(path.name for path in toy.iterdir())) == FILES
    assert (toy / "property").read_text() == "3,112,112\n"
    assert TOY.pictures == {"train": 18, "val": 30}


def test_records(toy: Path) -> None:
    records = RecordFile(toy / "train.rec")
    assert len(records) == 1 + 18 + 3
    header = records.read(0)
    assert (header.labels.tolist(), len(header.content)) == ([19, 22], 0)
    for identity in range(3):
        entry = records.read(19 + identity)
        first, end = entry.labels.astype(int)
        assert (end - first, len(entry.content)) == (6, 0)
        for key in range(first, end):
            record = records.read(key)
            assert (record.labels[0], record.id) == (identity, key)
            assert bytes(record.content[:2]) == b"\xff\xd8"
            assert _decoded(record.content).shape == (112, 112, 3)


def test_pairs(toy: Path) -> None:
    images, same = read_bin(toy / "toy.bin")
    assert len(images) == 160
    # Tenths of 8 pairs, of which the first half shows one identity each.
    assert same.tolist() == ([True] * 4 + [False] * 4) * 10
    pairs = {frozenset(pair) for pair in zip(images[::2], images[1::2], strict=True)}
    assert len(pairs) == 80
    assert all(len(pair) == 2 for pair in pairs)
    assert all(_decoded(image).shape == (112, 112, 3) for image in set(images))


def test_pairs_of_one_identity_connect_no_others(toy: Path) -> None:
    """What is joined by such pairs is one person, and other pairs lie between two of these."""
    images, same = read_bin(toy / "toy.bin")
    person = {image: {image} for image in images}
    for one, two, alike in zip(images[::2], images[1::2], same, strict=True):
        if alike:
            joined = person[one] | person[two]
            person.update(dict.fromkeys(joined, joined))
    assert all(len(group) <= TOY.images for group in person.values())
    for one, two, alike in zip(images[::2], images[1::2], same, strict=True):
        assert alike == (two in person[one])


def test_validation_shows_other_people(toy: Path) -> None:
    records = RecordFile(toy / "train.rec")
    train = {bytes(records.read(key).content) for key in range(1, 19)}
    assert len(train) == 18
    assert train.isdisjoint(read_bin(toy / "toy.bin").images)


def test_same_parameters_give_the_same_bytes(toy: Path, tmp_path: Path) -> None:
    generate(tmp_path, TOY)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (toy / name).read_bytes()


def test_another_seed_gives_other_people(toy: Path, tmp_path: Path) -> None:
    generate(tmp_path, dataclasses.replace(TOY, train=2, images=5, pairs=20, seed=4))
    first, other = (RecordFile(folder / "train.rec").read(1) for folder in (toy, tmp_path))
    assert bytes(first.content) != bytes(other.content)


def test_people_differ_in_several_ways() -> None:
    people = [random_identity(np.random.default_rng(seed)) for seed in range(40)]
    lengths = np.array(
        [[v for v in dataclasses.astuple(one) if isinstance(v, float)] for one in people]
    )
    lengths = (lengths - lengths.min(0)) / np.ptp(lengths, axis=0)
    differ = [(np.abs(one - two) > 0.3).sum() for one, two in combinations(lengths, 2)]
    assert lengths.shape[1] > 15
    assert min(differ) >= 3
    assert len({one.skin for one in people}) == len({one.hair for one in people}) == 40


def test_pixels_do_not_tell_who_it_is() -> None:
    pictures = []
    for person in range(16):
        rng = np.random.default_rng(person)
        identity = random_identity(rng)
        pictures += [photograph(rng, identity).astype(float).ravel() for _ in range(6)]
    flat = np.stack(pictures)
    flat -= flat.mean(0)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    one, two = np.triu_indices(len(flat), 1)
    similar = (flat @ flat.T)[one, two]
    same = one // 6 == two // 6
    alike, unlike = similar[same], similar[~same]
    thresholds = np.linspace(-1, 1, 201)[:, None]
    accuracy = ((alike > thresholds).mean(1) + (unlike <= thresholds).mean(1)).max() / 2
    assert 0.5 < accuracy < 0.72


@pytest.mark.parametrize("name", ["train", "val", "images", "pairs", "seed"])
def test_out_of_range(name: str) -> None:
    least = {"train": 2, "val": 2, "images": 2, "pairs": 20, "seed": 0}[name]
    enough = {"pairs": 20, "val": 10}
    FacesToy(**enough | {name: least})
    with pytest.raises(ValueError, match=f"{name} is {least - 1}; it must be at least {least}"):
        FacesToy(**enough | {name: least - 1})


def test_pairs_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="pairs is 30; it must be a multiple of 20"):
        FacesToy(pairs=30)
    message = r"pairs is 60, half of them of the same.*3 identities \(val\) with 4 .*have 18 such"
    with pytest.raises(ValueError, match=message):
        FacesToy(val=3, images=4, pairs=60)
    assert FacesToy(val=2, images=5, pairs=40).pairs == 40


def test_progress_counts_pictures(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    generate(tmp_path, FacesToy(2, 2, 5, 20), lambda *call: calls.append(call))
    assert calls == [(k + 1, 20) for k in range(20)]
