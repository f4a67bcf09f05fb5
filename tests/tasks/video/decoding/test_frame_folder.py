"""Frames that are numbered images in a folder."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tasks.data_checks import DatasetError
from tasks.video.decoding import VideoError, open_video
from tests.tasks.video.decoding.movies import greys


def write(folder, names, frames=None):
    folder.mkdir(exist_ok=True)
    frames = greys(len(names)) if frames is None else frames
    for name, frame in zip(names, frames, strict=True):
        assert cv2.imwrite(str(folder / name), frame[..., ::-1])
    return str(folder)


@pytest.mark.parametrize("first", [0, 1])
def test_template(tmp_path, first):
    names = [f"img_{first + k:05d}.jpg" for k in range(12)]
    others = ["flow_x_00001.jpg", "img_7.jpg", "thumb.png"]
    path = write(tmp_path / "v", names + others, np.concatenate([greys(12), greys(3)]))
    with open_video(path) as video:
        assert (len(video), video.size, video.fps, video.times) == (12, (64, 48), None, None)
        asked = [11, 0, 3, 3]
        assert np.abs(video.read(asked).astype(int) - greys(12)[asked]).max() <= 3
        assert video.stood_in == 0
        assert video.read([]).shape == (0, 48, 64, 3)
        with pytest.raises(IndexError, match="frame 12 was asked for; it has the frames 0 to 11"):
            video.read([12])


def test_red_is_first(tmp_path):
    frames = np.zeros((1, 48, 64, 3), np.uint8)
    frames[..., 0] = 255
    with open_video(write(tmp_path / "v", ["img_00001.png"], frames), "img_{:05d}.png") as video:
        assert np.array_equal(video.read([0]), frames)


def test_any_numbered_images(tmp_path):
    names = [f"frame{k}.png" for k in range(1, 12)]
    with open_video(write(tmp_path / "v", names)) as video:
        assert np.array_equal(video.read(range(11)), greys(11))


def test_own_template(tmp_path):
    names = [f"{k:03d}_rgb.png" for k in range(3)]
    with open_video(write(tmp_path / "v", names), "{:03d}_rgb.png") as video:
        assert len(video) == 3
    for wrong in ("img.jpg", "img_{:q}.jpg", "{:02d}_{:02d}.jpg", "{name}.jpg", "img_{"):
        with pytest.raises(DatasetError, match="is not a name with one field for the number"):
            open_video(str(tmp_path / "v"), wrong)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], r"v has no frames: of 0 entries none is an image named as 'img_\{:05d\}\.jpg' or"),
        (["a.jpg"], "of 1 entries none is an image named as"),
        (["img_00001.jpg", "img_00002.jpg", "img_00005.jpg"], "number 3 is missing; frames are"),
        (["img_00004.jpg", "img_00005.jpg"], "number 1 is missing"),
        (["x_1.jpg", "y_1.jpg"], r"images of 2 kinds of names \([xy]_1.jpg, [xy]_1.jpg\); set the"),
        (["x1.jpg", "x01.jpg"], "two frames of one number"),
    ],
)
def test_wrong_names(tmp_path, names, text):
    with pytest.raises(VideoError, match=text):
        open_video(write(tmp_path / "v", names))


def test_frames_that_cannot_be_used(tmp_path):
    path = write(tmp_path / "v", [f"img_{k:05d}.jpg" for k in range(1, 7)])
    whole = (tmp_path / "v" / "img_00001.jpg").read_bytes()
    (tmp_path / "v" / "img_00002.jpg").write_bytes(whole[:-50])
    (tmp_path / "v" / "img_00003.jpg").write_bytes(b"")
    (tmp_path / "v" / "img_00004.jpg").write_bytes(b"no image at all")
    cv2.imwrite(str(tmp_path / "v" / "img_00005.jpg"), np.zeros((10, 12, 3), np.uint8))
    texts = {
        1: "img_00002.jpg is cut off",
        2: "img_00003.jpg is empty",
        3: "img_00004.jpg is not an image, or a badly damaged one",
        4: "img_00005.jpg is 12 x 10, but img_00001.jpg is 64 x 48",
        5: "img_00006.jpg cannot be read",
    }
    with open_video(path) as video:
        (tmp_path / "v" / "img_00006.jpg").unlink()
        for index, text in texts.items():
            with pytest.raises(VideoError, match=text):
                video.read([0, index])
