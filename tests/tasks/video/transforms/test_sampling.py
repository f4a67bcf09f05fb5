from __future__ import annotations

import random

import numpy as np
import pytest
from mmengine.registry import TRANSFORMS

import tasks.video.transforms  # noqa: F401
from tasks.data_checks import DatasetError
from tests.tasks.video.transforms.fake_video import FakeVideo


def sample(total, times=None, kind="SampleFrames", **options):
    step = TRANSFORMS.build(dict(type=kind, **options))
    video = FakeVideo(total, times)
    results = step({"video_path": "a.mp4", "video": video, "total_frames": total})
    indices = results["frame_indices"]
    assert indices.dtype == np.int64
    assert 0 <= indices.min() <= indices.max() < total
    return indices


def starts(count=2000, **options):
    random.seed(0)
    return np.array([sample(**options)[:, 0] for _ in range(count)])


class TestInTests:
    def test_clips_run_from_the_first_frame_to_the_last(self):
        indices = sample(300, clip_len=32, frame_interval=2, num_clips=10, test_mode=True)
        assert indices.shape == (10, 32)
        assert (np.diff(indices) == 2).all()
        assert indices[0, 0] == 0
        assert indices[-1, -1] == 299
        # 237 beginnings after the first, in nine steps, rounded.
        assert indices[:, 0].tolist() == [0, 26, 53, 79, 105, 132, 158, 184, 211, 237]

    def test_one_clip_lies_in_the_middle(self):
        assert sample(11, clip_len=3, frame_interval=2, test_mode=True).tolist() == [[3, 5, 7]]

    @pytest.mark.parametrize(
        ("out_of_bound", "expected"), [("loop", [0, 2, 4, 1]), ("repeat_last", [0, 2, 4, 4])]
    )
    def test_short_videos(self, out_of_bound, expected):
        options = dict(clip_len=4, frame_interval=2, num_clips=2, out_of_bound=out_of_bound)
        assert sample(5, test_mode=True, **options).tolist() == [expected] * 2
        assert sample(5, **options).tolist() == [expected] * 2

    @pytest.mark.parametrize("out_of_bound", ["loop", "repeat_last"])
    @pytest.mark.parametrize("test_mode", [False, True])
    @pytest.mark.parametrize("fps", [None, 30])
    def test_one_frame(self, out_of_bound, test_mode, fps):
        options = dict(out_of_bound=out_of_bound, test_mode=test_mode, target_fps=fps)
        indices = sample(1, np.zeros(1), clip_len=8, num_clips=3, **options)
        assert (indices == np.zeros((3, 8))).all()


class TestInTraining:
    def test_every_beginning_is_as_likely(self):
        found = starts(total=20, clip_len=4, frame_interval=3)[:, 0]
        counts = np.bincount(found, minlength=11)
        assert len(counts) == 11
        assert np.abs(counts - 2000 / 11).max() < 60  # over four standard deviations

    def test_clips_share_the_video(self):
        found = starts(total=100, clip_len=10, num_clips=3, count=500)
        for clip, (low, high) in enumerate([(0, 30), (30, 60), (60, 90)]):
            assert found[:, clip].min() == low
            assert high <= found[:, clip].max() + 1 <= high + 1

    def test_more_clips_than_beginnings(self):
        found = starts(total=9, clip_len=8, num_clips=5, count=50)
        assert set(found.ravel().tolist()) == {0, 1}
        assert (np.diff(found) >= 0).all()

    def test_the_workers_seed_decides(self):
        options = dict(total=300, clip_len=8, num_clips=4, count=3)
        assert (starts(**options) == starts(**options)).all()


class TestByTime:
    def test_a_constant_rate_is_that_of_the_video(self):
        options = dict(clip_len=8, frame_interval=2, num_clips=5, test_mode=True)
        times = np.arange(60) / 30
        by_time = sample(60, times, target_fps=30, **options)
        assert np.abs(by_time - sample(60, **options)).max() <= 1
        assert by_time[0].tolist() == list(range(0, 16, 2))
        assert by_time[-1].tolist() == list(range(45, 60, 2))
        double = sample(120, np.arange(120) / 60, target_fps=30, **options)
        assert double[0].tolist() == list(range(0, 32, 4))
        assert double[-1, -1] == 119
        half = sample(30, np.arange(30) / 15, target_fps=30, **options)
        assert half[0].tolist() == list(range(8))

    def test_the_nearest_frames_of_a_variable_rate(self):
        times = np.array([0, 0.1, 0.2, 1.2, 2.2, 2.3, 2.45, 3.0])
        found = sample(8, times, clip_len=7, target_fps=2, test_mode=True)
        # At 0, 0.5, ... 3 seconds.
        assert found.tolist() == [[0, 2, 3, 3, 4, 6, 7]]

    def test_training_is_even_in_time(self):
        # Half of the time, and nine tenths of the frames, are in the first second.
        times = np.concatenate([np.arange(90) / 90, 1 + np.arange(10) / 10])
        found = starts(total=100, times=times, clip_len=1, target_fps=30, count=1000)
        assert 0.45 < (times[found] < 1).mean() < 0.6

    @pytest.mark.parametrize(
        ("out_of_bound", "expected"),
        [("loop", [0, 2, 4, 0, 2, 4, 0]), ("repeat_last", [0, 2, 4, 5, 5, 5, 5])],
    )
    def test_short_videos(self, out_of_bound, expected):
        times = np.arange(6) / 20
        options = dict(clip_len=7, target_fps=10, out_of_bound=out_of_bound)
        assert sample(6, times, **options).tolist() == [expected]
        assert sample(6, times, test_mode=True, **options).tolist() == [expected]

    def test_the_last_clip_does_not_start_again(self):
        # 1001 / 30000 has no exact sum.
        times = np.arange(301) * 1001 / 30000
        for clip_len in range(2, 60, 7):
            found = sample(301, times, clip_len=clip_len, target_fps=25, test_mode=True)
            assert (np.diff(found) > 0).all()

    def test_a_folder_has_no_times(self):
        with pytest.raises(DatasetError, match=r"a\.mp4 has no time stamps.*leave target_fps out"):
            sample(9, clip_len=2, target_fps=30)


class TestDense:
    def test_tests(self):
        options = dict(clip_len=8, frame_interval=8, num_clips=2, num_sample_positions=3)
        found = sample(164, kind="DenseSampleFrames", test_mode=True, **options)
        assert found[:, 0].tolist() == [0, 32, 50, 82, 100, 132]
        assert (found == (found[:, :1] + np.arange(8) * 8) % 164).all()

    def test_training_takes_one_stretch(self):
        found = starts(
            total=74, kind="DenseSampleFrames", clip_len=4, num_clips=4, sample_range=64, count=500
        )
        assert (np.diff(found) == 16).all()
        assert set(found[:, 0].tolist()) == set(range(11))

    def test_short_videos(self):
        found = sample(20, kind="DenseSampleFrames", clip_len=3, num_clips=2, sample_range=50)
        assert found.tolist() == [[0, 1, 2], [5, 6, 7]]
        last = dict(out_of_bound="repeat_last", test_mode=True, num_sample_positions=1)
        found = sample(4, kind="DenseSampleFrames", clip_len=3, frame_interval=2, **last)
        assert found.tolist() == [[0, 2, 3]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(clip_len=0), "SampleFrames has clip_len=0; it is a whole number from 1"),
        (dict(clip_len=8, frame_interval=1.5), "frame_interval=1.5"),
        (dict(clip_len=8, num_clips=0), "num_clips=0"),
        (dict(clip_len=8, target_fps=0), "target_fps=0; it is a number of frames per second"),
        (dict(clip_len=8, out_of_bound="end"), "'end'; it is one of loop, repeat_last"),
        (dict(type="DenseSampleFrames", clip_len=8, sample_range=3, num_clips=4), "sample_range=3"),
        (dict(type="DenseSampleFrames", clip_len=8, num_sample_positions=0), "num_sample_pos"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        TRANSFORMS.build({"type": "SampleFrames"} | options)
