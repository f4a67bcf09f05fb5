from __future__ import annotations

import random

import cv2
import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.registry import TRANSFORMS

import tasks.video.transforms  # noqa: F401
from tasks.data_checks import DatasetError

CLIPS = np.random.default_rng(0).integers(0, 256, (2, 3, 36, 50, 3), np.uint8)
SMOOTH = np.array([[cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in clip] for clip in CLIPS])
HIGH = np.ascontiguousarray(CLIPS.swapaxes(2, 3))


def run(clips, *steps):
    results = Compose(list(steps))({"clips": clips, "video_path": "a.mp4"})
    return np.asarray(results["clips"])


def resize(clips, height, width):
    frames = [[cv2.resize(frame, (width, height)) for frame in clip] for clip in clips]
    return np.array(frames)


def places(found, clips):
    """Top and left of crops of frames, by looking for them."""
    height, width = found.shape[2:4]
    for top in range(clips.shape[2] - height + 1):
        for left in range(clips.shape[3] - width + 1):
            if (clips[:, :, top : top + height, left : left + width] == found).all():
                return top, left
    raise AssertionError("the frames are not cropped at one place")


class TestResizing:
    @pytest.mark.parametrize("clips", [CLIPS, HIGH])
    @pytest.mark.parametrize("side", [20, 36, 47])
    def test_short_side(self, clips, side):
        found = run(clips, dict(type="ClipResize", short_side=side))
        height, width = (int(n * side / 36 + 0.5) for n in clips.shape[2:4])
        assert min(height, width) == side
        assert (found == resize(clips, height, width)).all()

    def test_size(self):
        found = run(CLIPS, dict(type="ClipResize", size=(30, 20)))
        assert (found == resize(CLIPS, 30, 20)).all()
        assert run(CLIPS, dict(type="ClipResize", size=12)).shape == (2, 3, 12, 12, 3)

    def test_every_short_side_is_drawn(self):
        random.seed(0)
        step = dict(type="ClipRandomShortSide", low=30, high=34)
        found = [run(CLIPS[:1, :1], step).shape[2] for _ in range(500)]
        counts = np.bincount(found)[30:]
        assert len(counts) == 5
        assert counts.min() > 60

    def test_twice(self):
        steps = dict(type="ClipResize", short_side=20), dict(type="ClipResize", size=30)
        assert (run(CLIPS, *steps) == resize(resize(CLIPS, 20, 28), 30, 30)).all()


class TestCropping:
    def test_center(self):
        found = run(CLIPS, dict(type="ClipCenterCrop", size=(31, 20)))
        assert (found == CLIPS[:, :, 2:33, 15:35]).all()

    def test_random_crops_reach_every_place(self):
        random.seed(0)
        step = dict(type="ClipRandomCrop", size=(34, 48))
        found = {places(run(CLIPS, step), CLIPS) for _ in range(200)}
        assert found == {(top, left) for top in range(3) for left in range(3)}

    @pytest.mark.parametrize("clips", [CLIPS, HIGH])
    def test_three_crops(self, clips):
        found = run(clips, dict(type="ClipThreeCrop", size=36))
        assert found.shape == (6, 3, 36, 36, 3)
        for clip in range(2):
            for part, at in enumerate((0, 7, 14)):
                whole = clips[clip].swapaxes(1, 2) if clips is HIGH else clips[clip]
                view = found[3 * clip + part]
                view = view.swapaxes(1, 2) if clips is HIGH else view
                assert (view == whole[:, :, at : at + 36]).all()

    @pytest.mark.parametrize("kind", ["ClipRandomCrop", "ClipCenterCrop", "ClipThreeCrop"])
    def test_frames_that_are_too_small(self, kind):
        message = rf"a\.mp4: the frames are 50 x 36 when they come to {kind}, which keeps 40 x 40"
        with pytest.raises(DatasetError, match=message):
            run(CLIPS, dict(type=kind, size=40))


class TestMultiScaleCrop:
    def crops(self, clips=CLIPS, count=400, **options):
        """The parts that are kept, found by colours that are their places."""
        random.seed(0)
        height, width = clips.shape[2:4]
        ramp = np.zeros((1, 1, height, width, 3), np.uint8)
        ramp[..., 0] = 4 * np.arange(height)[:, None]
        ramp[..., 1] = 4 * np.arange(width)
        step = TRANSFORMS.build(dict(type="ClipMultiScaleCrop", **options))
        found = set()
        for _ in range(count):
            frame = np.asarray(step({"clips": ramp})["clips"])[0, 0].astype(float)
            sides = [round((frame[-1, -1, axis] - frame[0, 0, axis]) / 4) + 1 for axis in (0, 1)]
            found.add((*np.round(frame[0, 0, :2] / 4).astype(int).tolist(), *sides))
        return found

    def test_five_places_of_every_scale(self):
        found = self.crops(size=(36, 36), scales=(1, 0.5))
        # The full side leaves 14 columns, four steps of 3 of them; the half is seen enlarged.
        assert {box for box in found if box[2] == 36} == {(0, left, 36, 36) for left in (0, 6, 12)}
        assert len(found) == 3 + 5

    def test_thirteen_places(self):
        assert len(self.crops(size=18, scales=(0.5,), num_fixed_crops=13)) == 13
        found = self.crops(size=18, scales=(0.5,), num_fixed_crops=13)
        assert {top for top, *_ in found} == {0, 4, 8, 12, 16}
        assert {left for _, left, *_ in found} == {0, 8, 16, 24, 32}

    def test_the_gap_of_height_and_width(self):
        sides = {box[2:] for box in self.crops(size=36, scales=(1, 0.5))}
        assert all(abs(height - width) <= 1 for height, width in sides)
        sides = {box[2:] for box in self.crops(size=36, scales=(1, 0.5), max_wh_scale_gap=1)}
        assert any(abs(height - width) > 10 for height, width in sides)

    def test_random_places(self):
        found = self.crops(size=36, scales=(1,), random_crop=True)
        assert found == {(0, left, 36, 36) for left in range(15)}

    def test_a_side_that_is_off_by_little_is_not_resized(self):
        random.seed(0)
        found = run(CLIPS, dict(type="ClipMultiScaleCrop", size=34, scales=(0.9,)))
        assert places(found, CLIPS) in {(0, 0), (0, 16), (0, 8)}

    def test_a_result_larger_than_the_frames(self):
        found = run(CLIPS, dict(type="ClipMultiScaleCrop", size=38, scales=(1,)))
        assert found.shape == (2, 3, 38, 38, 3)


class TestRandomResizedCrop:
    def test_area_and_ratio(self):
        random.seed(0)
        ramp = np.zeros((1, 1, 200, 250, 3), np.uint8)
        ramp[..., 0] = np.arange(200)[:, None]
        ramp[..., 1] = np.arange(250)
        step = TRANSFORMS.build(
            dict(type="ClipRandomResizedCrop", size=(60, 80), scale=(0.2, 0.6), ratio=(0.5, 2))
        )
        areas, ratios = [], []
        for _ in range(300):
            frame = np.asarray(step({"clips": ramp})["clips"])[0, 0].astype(int)
            assert frame.shape == (60, 80, 3)
            height = 1 + int(np.ptp(frame[..., 0])) * 60 / 59
            width = 1 + int(np.ptp(frame[..., 1])) * 80 / 79
            areas.append(height * width / 50000)
            ratios.append(np.log2(width / height))
        assert min(areas) > 0.18
        assert max(areas) < 0.63
        assert min(areas) < 0.25
        assert max(areas) > 0.5
        assert min(ratios) > -1.1
        assert max(ratios) < 1.1
        assert abs(np.mean(ratios)) < 0.15

    def test_what_does_not_fit_becomes_the_middle(self):
        wide = np.zeros((1, 1, 10, 100, 3), np.uint8)
        wide[..., 1] = 2 * np.arange(100)
        step = dict(type="ClipRandomResizedCrop", size=(10, 20), scale=(1, 1), ratio=(1, 2))
        assert (run(wide, step) == wide[:, :, :, 40:60]).all()


class TestTogether:
    def test_training_is_the_plain_steps(self):
        steps = (
            dict(type="ClipRandomShortSide", low=40, high=60),
            dict(type="ClipRandomCrop", size=32),
            dict(type="ClipFlip", prob=0.5),
        )
        mirrored = 0
        for seed in range(20):
            random.seed(seed)
            side = random.randint(40, 60)
            height, width = side, int(50 * side / 36 + 0.5)
            top, left = random.randint(0, height - 32), random.randint(0, width - 32)
            expected = resize(SMOOTH, height, width)[:, :, top : top + 32, left : left + 32]
            if random.random() < 0.5:
                expected = expected[:, :, :, ::-1]
                mirrored += 1
            random.seed(seed)
            found = run(SMOOTH, *steps).astype(int)
            assert np.abs(found - expected).max() <= 1
        assert 0 < mirrored < 20

    @pytest.mark.parametrize("side", [24, 71, 108])
    @pytest.mark.parametrize("kind", ["ClipCenterCrop", "ClipThreeCrop"])
    def test_a_crop_of_resized_frames(self, side, kind):
        resized = resize(SMOOTH, side, int(50 * side / 36 + 0.5))
        crop = dict(type=kind, size=20)
        found = run(SMOOTH, dict(type="ClipResize", short_side=side), crop).astype(int)
        assert np.abs(found - run(resized, crop)).max() <= 1

    def test_any_order(self):
        flip = dict(type="ClipFlip", prob=1)
        crop = dict(type="ClipCenterCrop", size=(30, 41))
        mirror = CLIPS[:, :, :, ::-1]
        assert (run(CLIPS, flip) == mirror).all()
        assert (run(CLIPS, flip, flip) == CLIPS).all()
        assert (run(CLIPS, flip, crop) == mirror[:, :, 3:33, 4:45]).all()
        part = dict(type="ClipCenterCrop", size=(20, 20))
        assert (run(CLIPS, crop, part) == CLIPS[:, :, 8:28, 14:34]).all()
        views = run(CLIPS, dict(type="ClipThreeCrop", size=36), part)
        assert (views[:3] == [CLIPS[0][:, 8:28, at + 8 : at + 28] for at in (0, 7, 14)]).all()
        smaller = run(CLIPS, dict(type="ClipThreeCrop", size=36), dict(type="ClipResize", size=18))
        assert (smaller[1:2] == resize(CLIPS[:1, :, :, 7:43], 18, 18)).all()
        first_resized = run(CLIPS, crop, dict(type="ClipResize", size=(15, 20)))
        assert (first_resized == resize(CLIPS[:, :, 3:33, 4:45], 15, 20)).all()
        late = run(CLIPS, flip, dict(type="ClipResize", size=(50, 70))).astype(int)
        assert np.abs(late - resize(CLIPS, 50, 70)[:, :, :, ::-1]).max() <= 1

    def test_the_decoded_frames_stay_as_they_are(self):
        before = CLIPS.copy()
        steps = dict(type="ClipFlip", prob=1), dict(type="ClipCenterCrop", size=30)
        run(CLIPS, *steps, dict(type="ClipColorJitter", brightness=(2, 2)))
        assert (before == CLIPS).all()

    def test_flips_are_as_frequent_as_asked_for(self):
        random.seed(0)
        step = dict(type="ClipFlip", prob=0.3)
        flips = sum((run(CLIPS, step) != CLIPS).any() for _ in range(400))
        assert 80 < flips < 160


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(type="ClipFlip", prob=2), "ClipFlip has prob=2; it is a probability from 0 to 1"),
        (dict(type="ClipResize"), "takes one of them"),
        (dict(type="ClipResize", short_side=3, size=4), "takes one of them"),
        (dict(type="ClipResize", short_side=0), "short_side=0; it is a whole number from 1"),
        (dict(type="ClipResize", size=(3, 4, 5)), r"size=\(3, 4, 5\); it is the side of a square"),
        (
            dict(type="ClipRandomShortSide", low=30, high=20),
            "high=20; it is a whole number from 30",
        ),
        (dict(type="ClipRandomCrop", size=0), "ClipRandomCrop has size=0"),
        (dict(type="ClipThreeCrop", size=2.5), "ClipThreeCrop has size=2.5"),
        (dict(type="ClipMultiScaleCrop", size=9, scales=()), "scales=.*shares of the short side"),
        (dict(type="ClipMultiScaleCrop", size=9, scales=(2,)), "scales="),
        (dict(type="ClipMultiScaleCrop", size=9, num_fixed_crops=7), "it is 5 or 13"),
        (dict(type="ClipMultiScaleCrop", size=9, max_wh_scale_gap=-1), "max_wh_scale_gap=-1"),
        (dict(type="ClipRandomResizedCrop", size=9, scale=(0.5, 2)), "at most the whole frame"),
        (dict(type="ClipRandomResizedCrop", size=9, ratio=(2, 1)), r"it is \(low, high\)"),
    ],
)
def test_mistakes(config, message):
    with pytest.raises(ValueError, match=message):
        TRANSFORMS.build(config)
