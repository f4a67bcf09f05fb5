from __future__ import annotations

import cv2
import numpy as np
import pytest
from mmcv.transforms.utils import cache_random_params
from mmseg.registry import TRANSFORMS

import tasks.segmentation  # noqa: F401  registers the transform

IMAGE = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)


def build(**options):
    return TRANSFORMS.build({"type": "RandomGaussianBlur", **options})


def blurred(transform) -> bool:
    return not np.array_equal(transform({"img": IMAGE})["img"], IMAGE)


def test_half_of_the_images_as_opencv_blurs_them() -> None:
    np.random.seed(0)  # noqa: NPY002
    transform = build()
    count = sum(blurred(transform) for _ in range(400))
    assert 150 < count < 250
    expected = cv2.GaussianBlur(IMAGE, (5, 5), 0)
    np.testing.assert_array_equal(build(prob=1.0)({"img": IMAGE})["img"], expected)
    assert not blurred(build(prob=0.0))


def test_the_seed_decides() -> None:
    runs = []
    for _ in range(2):
        np.random.seed(3)  # noqa: NPY002
        runs.append([blurred(build()) for _ in range(20)])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 2


def test_random_choice_can_be_kept() -> None:
    transform = build()
    with cache_random_params(transform):
        assert len({blurred(transform) for _ in range(30)}) == 1


@pytest.mark.parametrize("options", [{"prob": 1.5}, {"kernel": 4}, {"kernel": 0}])
def test_mistakes(options) -> None:
    with pytest.raises(ValueError, match=r"RandomGaussianBlur: (prob|kernel) is"):
        build(**options)
