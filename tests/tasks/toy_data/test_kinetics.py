from __future__ import annotations

import csv
import hashlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tasks.toy_data.kinetics import CLASSES, KineticsToy, generate
from tasks.toy_data.kinetics_files import FORMS, VideoForm, write_clip
from tasks.toy_data.motion_scenes import MOTIONS, random_scene, render

TOY = KineticsToy(train=4, val=2, size=32, frames=6, seed=3)
OPPOSITES = [
    ("moving down", "moving up"),
    ("moving left", "moving right"),
    ("moving down left", "moving up right"),
    ("moving down right", "moving up left"),
]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    generate(folder, TOY)
    return folder


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _decoded(path: Path) -> tuple[np.ndarray, list[Fraction]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    times = [frame.pts * frame.time_base for frame in frames]
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames]), times


def test_layout(toy: Path) -> None:
    assert len(CLASSES) == 8
    assert sorted(path.name for path in toy.iterdir()) == ["annotations", "train", "val"]
    assert TOY.pictures == {"train": 32, "val": 16}
    for split, count in (("train", 4), ("val", 2)):
        folders = sorted((toy / split).iterdir())
        assert [path.name.replace("_", " ") for path in folders] == list(CLASSES)
        assert all(len(list(folder.iterdir())) == count for folder in folders)
        # As many files of each form in all classes.
        suffixes = {tuple(sorted(p.suffix for p in folder.iterdir())) for folder in folders}
        assert suffixes == {tuple(sorted(form.suffix for form in FORMS[:count]))}


@pytest.mark.parametrize("split", ["train", "val"])
def test_lists_agree_with_folders(toy: Path, split: str) -> None:
    with (toy / "annotations" / f"{split}.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["label", "youtube_id", "time_start", "time_end", "split"]
    assert {row["split"] for row in rows} == {split}
    assert all(len(row["youtube_id"]) == 11 for row in rows)
    assert all(int(row["time_end"]) - int(row["time_start"]) == 1 for row in rows)
    listed = [
        f"{row['label'].replace(' ', '_')}/{row['youtube_id']}"
        f"_{int(row['time_start']):06d}_{int(row['time_end']):06d}"
        for row in rows
    ]
    files = (path.relative_to(toy / split).with_suffix("") for path in toy.glob(f"{split}/*/*"))
    assert sorted(listed) == sorted(file.as_posix() for file in files)


def test_every_video_decodes(toy: Path) -> None:
    for path in toy.glob("*/*/*_*.*"):
        pixels, times = _decoded(path)
        assert pixels.shape == (6, 32, 40, 3)
        assert times == sorted(set(times))
        assert times[0] == 0


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_forms(tmp_path: Path, form: VideoForm) -> None:
    rng = np.random.default_rng(0)
    clip = render(random_scene(rng, 80, 64), "moving left", 20)
    path = tmp_path / f"clip{form.suffix}"
    write_clip(rng, path, clip, form)
    pixels, times = _decoded(path)
    assert np.abs(pixels.astype(int) - clip).mean() < 8
    lasting = set(np.diff(np.array(times, float)).round(2))
    assert (len(lasting) == 1) == form.steady or form.suffix == ".webm"
    assert times[-1] == pytest.approx(19 / form.fps, rel=0.3)
    with av.open(str(path)) as container:
        keys = [k for k, packet in enumerate(container.demux(video=0)) if packet.is_keyframe]
    assert keys[0] == 0
    assert max(np.diff([*keys, 20])) <= form.gop


def test_same_parameters_give_the_same_bytes(toy: Path, tmp_path: Path) -> None:
    generate(tmp_path, TOY)
    assert _digests(tmp_path) == _digests(toy)


def test_every_video_is_another_one(toy: Path, tmp_path: Path) -> None:
    generate(tmp_path, KineticsToy(train=1, val=1, size=32, frames=6, seed=4))
    digests = [*_digests(toy).values(), *_digests(tmp_path).values()]
    assert len(set(digests)) == len(digests)


def _clip(seed: int, motion: str, frames: int) -> np.ndarray:
    return render(random_scene(np.random.default_rng(seed), 40, 32), motion, frames)


@pytest.mark.parametrize(("one", "other"), OPPOSITES)
@pytest.mark.parametrize("frames", [6, 7])
def test_opposites_are_each_other_in_reverse(one: str, other: str, frames: int) -> None:
    for seed in range(3):
        forth, back = _clip(seed, one, frames), _clip(seed, other, frames)
        assert np.array_equal(forth, back[::-1])
        assert not np.array_equal(forth, back)


def test_middle_frame_is_the_same_for_all_motions() -> None:
    for seed in range(3):
        first, *rest = (_clip(seed, motion, 5)[2] for motion in MOTIONS)
        assert all(np.array_equal(first, other) for other in rest)


def _far_apart(seed: int, motion: str) -> np.ndarray:
    """Three frames of a scene, ten frames apart."""
    scene = random_scene(np.random.default_rng(seed), 40, 32)
    movers = tuple(replace(mover, speed=10 * mover.speed) for mover in scene.movers)
    return render(replace(scene, movers=movers), motion, 3)


@pytest.mark.parametrize("motion", ["moving right", "moving up left"])
def test_any_frame_is_distributed_like_the_middle_one(motion: str) -> None:
    """Where the movers are, seen in the clips, does not depend on the time."""
    clips = np.stack([_far_apart(seed, motion) for seed in range(80)]).astype(float)
    unlike = np.abs(clips - np.median(clips, axis=(2, 3), keepdims=True)).mean(4)
    seen = (unlike > 40).mean((0, 3)), (unlike > 40).mean((0, 2))
    for profile in seen:  # (3 times, rows or columns)
        assert profile.mean() > 0.2
        # The standard error of a row's or a column's share is about 0.03.
        assert np.abs(profile - profile[1]).max() < 0.15
        assert np.ptp(profile, axis=1).max() < 0.15


@pytest.mark.parametrize("motion", MOTIONS)
def test_movers_move_as_the_class_says(motion: str) -> None:
    """The shift between frames that explains them best has the signs of the direction."""
    clip = _clip(1, motion, 2).astype(float)
    shifts = {
        (right, down): np.abs(np.roll(clip[0], (down, right), (0, 1)) - clip[1])
        for right in (-1, 0, 1)
        for down in (-1, 0, 1)
    }
    moved = np.abs(clip[0] - clip[1]).max(2) > 20
    best = min(shifts, key=lambda shift: shifts[shift][moved].mean())
    assert best == tuple(np.sign(np.round(MOTIONS[motion], 6)).astype(int))


@pytest.mark.parametrize("name", ["train", "val", "size", "frames", "seed"])
def test_out_of_range(name: str) -> None:
    least = {"train": 1, "val": 1, "size": 32, "frames": 2, "seed": 0}[name]
    KineticsToy(**{name: least})
    with pytest.raises(ValueError, match=f"{name} is {least - 1}; it must be at least {least}"):
        KineticsToy(**{name: least - 1})


def test_odd_size() -> None:
    with pytest.raises(ValueError, match="size is 65; it must be even"):
        KineticsToy(size=65)
    assert [KineticsToy(size=size).width for size in (32, 64, 66, 96)] == [40, 80, 82, 120]


def test_progress_counts_videos(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    generate(tmp_path, KineticsToy(1, 1, 32, frames=2), lambda *call: calls.append(call))
    assert calls == [(k + 1, 16) for k in range(16)]
