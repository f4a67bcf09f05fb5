"""What VideoClassDataset.examine and .picture tell of single videos."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS

import tasks.video.datasets.examination
import tasks.video.transforms
from tasks.data_checks import DatasetError
from tests.tasks.video.videos import write_video


def build(root, **kwargs):
    return DATASETS.build(dict(type="VideoClassDataset", data_root=str(root), **kwargs))


def test_a_whole_video(put):
    root = put("jump/1.mp4", "run/2.mp4")
    sample = build(root).examine(1)
    assert sample.file == f"{root}/run/2.mp4"
    assert sample.size == (48, 32)
    assert sample.labels == {1: 1}
    assert sample.problems == ()


def test_a_video_in_many_pieces(put, monkeypatch):
    root = put("a/1.mp4")
    monkeypatch.setattr(tasks.video.datasets.examination, "_PIECE", 2 * 48 * 32 * 3)
    assert build(root).examine(0).problems == ()


def test_a_video_that_cannot_be_opened(put):
    root = put("a/1.mp4", broken=("a/1.mp4",))
    dataset = build(root)
    sample = dataset.examine(0)
    assert sample.size is None
    assert sample.labels == {0: 1}
    assert len(sample.problems) == 1
    assert sample.problems[0].startswith(f"{root}/a/1.mp4 is empty")
    with pytest.raises(DatasetError, match="is empty"):
        dataset.picture(0)


@pytest.mark.parametrize("piece", [2**27, 3 * 32 * 48 * 3])
def test_frames_that_do_not_decode(tmp_path, monkeypatch, piece):
    path = tmp_path / "a/1.mkv"
    path.parent.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (12, 32, 48, 3), np.uint8)
    write_video(path, noise, codec="mjpeg")
    content = bytearray(path.read_bytes())
    starts = [at for at in range(len(content)) if content[at : at + 3] == b"\xff\xd8\xff"]
    assert len(starts) == 12
    for start in starts[4:9]:
        content[start : start + 400] = bytes(400)
    path.write_bytes(bytes(content))
    monkeypatch.setattr(tasks.video.datasets.examination, "_PIECE", piece)
    sample = build(tmp_path).examine(0)
    assert sample.size == (48, 32)
    assert sample.problems == (f"{path}: only 7 of 12 frames can be decoded",)


def test_folders_of_frames(put_frames):
    root = put_frames("a/1", "a/2", "a/3")
    (root / "a/2/img_00003.jpg").write_bytes(b"")
    (root / "a/3/img_00003.jpg").unlink()
    samples = [build(root).examine(index) for index in range(3)]
    assert samples[0].size == (48, 32)
    assert [len(sample.problems) for sample in samples] == [0, 1, 1]
    assert "img_00003.jpg" in samples[1].problems[0]
    assert "number 3 is missing" in samples[2].problems[0]


def test_the_template_of_the_pipeline(tmp_path):
    folder = tmp_path / "a/1"
    folder.mkdir(parents=True)
    for number in range(1, 4):
        cv2.imwrite(str(folder / f"img_{number:05d}.jpg"), np.zeros((8, 8, 3), np.uint8))
        cv2.imwrite(str(folder / f"flow_{number:05d}.jpg"), np.zeros((8, 16, 3), np.uint8))
    assert build(tmp_path).examine(0).size == (8, 8)
    pipeline = [dict(type="OpenVideo", template="flow_{:05d}.jpg")]
    dataset = build(tmp_path, pipeline=pipeline)
    assert dataset.examine(0).size == (16, 8)
    assert dataset.picture(0).shape[1] == 2 * dataset.picture(0).shape[0]


def test_picture(put):
    picture = build(put("jump/1.mp4")).picture(0)
    assert picture.dtype == np.uint8
    height, width = picture.shape[:2]
    assert (width, height) == (480, 320)
    places = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    levels = [int(picture[place].mean()) for place in places]
    assert levels[0] < 10 < levels[1] < levels[2] < 200 < levels[3]
    assert (picture[:20, :20] == 255).all(axis=-1).any()  # the name of the class
