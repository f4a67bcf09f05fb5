from __future__ import annotations

import cv2
import numpy as np
import pytest
from shapely.geometry import Polygon

from tasks.toy_data.scene import compose, coverage, paint, polygons
from tasks.toy_data.shapes import SHAPES, outline

WIDTH, HEIGHT = 120, 90


@pytest.mark.parametrize("seed", range(8))
def test_visible_parts_have_the_colour_of_their_object(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = compose(rng, WIDTH, HEIGHT, objects=6, crowd=True)
    pixels = paint(rng, WIDTH, HEIGHT, scene).astype(float)
    assert len(scene) >= 4
    assert [item.crowd for item in scene] == [True] + [False] * (len(scene) - 1)
    for item in scene:
        # No anti-aliasing reaches pixels whose neighbours are covered as well.
        inner = cv2.erode(coverage(item.visible, WIDTH, HEIGHT), np.ones((3, 3), np.uint8)) == 1
        if inner.any():
            assert np.abs(pixels[inner] - item.colour).max() < 6 * 7  # deviations of the noise


@pytest.mark.parametrize("seed", range(8))
def test_every_object_stays_in_sight(seed: int) -> None:
    scene = compose(np.random.default_rng(seed), WIDTH, HEIGHT, objects=6, crowd=False)
    for index, item in enumerate(scene):
        assert item.visible.area >= 0.45 * item.drawn.area
        assert all(not part.interiors for part in polygons(item.visible))
        for later in scene[index + 1 :]:
            assert item.visible.intersection(later.drawn).area < 1e-6


@pytest.mark.parametrize("shape", SHAPES)
def test_outline(shape: str) -> None:
    region = outline(shape, (50, 40), 20, stretch=1.21, angle=0)
    assert isinstance(region, Polygon)
    assert region.is_valid
    low_x, low_y, high_x, high_y = region.bounds
    upright = outline(shape, (50, 40), 20, stretch=1, angle=0).bounds
    assert high_x - low_x == pytest.approx(1.1 * (upright[2] - upright[0]))
    assert high_y - low_y == pytest.approx((upright[3] - upright[1]) / 1.1)
    turned = outline(shape, (50, 40), 20, stretch=1.21, angle=90)
    assert turned.area == pytest.approx(region.area)
    assert not turned.equals(region)


def test_coverage() -> None:
    region = Polygon([(2, 3), (6.5, 3), (6.5, 8), (2, 8)], [[(3, 4), (3, 6), (5, 6), (5, 4)]])
    expected = np.zeros((10, 12))
    expected[3:8, 2:6] = 1
    expected[3:8, 6] = 0.5
    expected[4:6, 3:5] = 0
    assert np.abs(coverage(region, 12, 10) - expected).max() <= 0.25
    np.testing.assert_array_equal(coverage(region, 12, 10)[:, :6] >= 0.5, expected[:, :6] == 1)
