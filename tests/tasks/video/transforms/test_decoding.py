from __future__ import annotations

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose

import tasks.video.transforms  # noqa: F401
from tasks.data_checks import DatasetError
from tests.tasks.video.transforms.fake_video import FakeVideo
from tests.tasks.video.videos import write_video

DECODE = Compose([dict(type="DecodeFrames")])


def decode(indices, total=20):
    video = FakeVideo(total)
    return video, DECODE({"video": video, "frame_indices": np.array(indices)})


def test_every_frame_is_read_once():
    indices = [[3, 5, 7], [7, 5, 3], [0, 3, 0]]
    video, results = decode(indices)
    assert video.asked == [[0, 3, 5, 7]]
    assert results["clips"].shape == (3, 3, 4, 6, 3)
    assert results["clips"].dtype == np.uint8
    assert (results["clips"] == np.array(indices)[:, :, None, None, None]).all()


@pytest.mark.parametrize("indices", [[[2, 4, 6]], [[6, 4, 2]], [[1, 1, 1]]])
def test_one_clip(indices):
    _, results = decode(indices)
    assert results["clips"][0, :, 0, 0, 0].tolist() == indices[0]


def test_the_video_is_closed():
    video, results = decode([[0]])
    assert video.closed
    assert "video" not in results

    def fail(indices):
        raise DatasetError("damaged")

    video = FakeVideo(3)
    video.read = fail
    with pytest.raises(DatasetError, match="damaged"):
        DECODE({"video": video, "frame_indices": np.zeros((1, 1), int)})
    assert video.closed


def test_from_a_file(tmp_path):
    grey = np.arange(10, 250, 10)
    frames = np.broadcast_to(grey[:, None, None, None], (24, 48, 64, 3)).astype(np.uint8)
    write_video(tmp_path / "a.mp4", frames)
    pipeline = Compose(
        [
            dict(type="OpenVideo"),
            dict(type="SampleFrames", clip_len=4, frame_interval=2, num_clips=3, test_mode=True),
            dict(type="DecodeFrames"),
            dict(type="ClipResize", short_side=32),
            dict(type="ClipThreeCrop", size=32),
            dict(type="PackClips"),
        ]
    )
    packed = pipeline({"video_path": str(tmp_path / "a.mp4"), "label": 5, "index": 0})
    assert packed["inputs"].shape == (9, 4, 32, 32, 3)
    found = packed["inputs"][::3].double().mean((2, 3, 4))
    starts = torch.tensor([0, 8, 17])
    expected = 10.0 * (1 + starts[:, None] + 2 * torch.arange(4))
    assert (found - expected).abs().max() < 4
    assert packed["data_samples"].item() == 5


def test_packing():
    clips = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, 3), np.uint8)[..., ::-1]
    packed = Compose([dict(type="PackClips")])({"clips": clips, "label": np.int64(3)})
    assert packed["inputs"].is_contiguous()
    assert packed["inputs"].dtype == torch.uint8
    assert (packed["inputs"].numpy() == clips).all()
    assert packed["data_samples"].dtype == torch.int64
    assert packed["data_samples"].shape == ()
