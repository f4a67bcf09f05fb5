from __future__ import annotations

import numpy as np
import pytest
from shapely.geometry import Polygon, box

from tasks.toy_data.canvas import Canvas
from tasks.toy_data.surfaces import TEXTURES, Surface, fill

WIDTH, HEIGHT = 40, 30


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_labels_are_those_of_the_topmost_region(rng: np.random.Generator) -> None:
    canvas = Canvas(rng, WIDTH, HEIGHT, label=9)
    canvas.paint(box(5, 5, 20, 25), Surface((0, 0, 200)), 1)
    canvas.paint(box(10.3, 10.7, 30, 20), Surface((200, 0, 0)), 2)  # half a pixel decides
    expected = np.full((HEIGHT, WIDTH), 9)
    expected[5:25, 5:20] = 1
    expected[11:20, 10:30] = 2
    np.testing.assert_array_equal(canvas.labels, expected)
    assert canvas.labels.dtype == np.uint8


def test_picture_shows_what_is_labelled(rng: np.random.Generator) -> None:
    canvas = Canvas(rng, WIDTH, HEIGHT)
    colours = {1: (20, 20, 200), 2: (200, 20, 20)}
    canvas.paint(box(0, 0, WIDTH, HEIGHT), Surface(colours[1]), 1)
    canvas.paint(Polygon([(3, 2), (35, 9), (14, 27)]), Surface(colours[2]), 2)
    pixels = canvas.picture().astype(float)
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    redder = pixels[..., 2] > pixels[..., 0]
    # The colours are mixed where a region covers half a pixel.
    assert (redder == (canvas.labels == 1)).mean() > 0.97
    assert 100 < (canvas.labels == 2).sum() < 800


@pytest.mark.parametrize("offset", [(-25, 0), (25, 0), (0, -20), (0, 20), (-90, 0), (0, 90)])
def test_what_is_outside_is_cut_off(rng: np.random.Generator, offset: tuple[int, int]) -> None:
    canvas = Canvas(rng, WIDTH, HEIGHT)
    left, top = 5 + offset[0], 5 + offset[1]
    region = box(left, top, left + 30, top + 20)
    canvas.surround(region, 2)
    canvas.paint(region, Surface((90, 90, 90), "bricks", 20), 1)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    inside = (columns >= left) & (columns < left + 30) & (rows >= top) & (rows < top + 20)
    np.testing.assert_array_equal(canvas.labels == 1, inside)


def test_surround_labels_the_pixels_around(rng: np.random.Generator) -> None:
    canvas = Canvas(rng, WIDTH, HEIGHT, label=7)
    canvas.surround(box(10, 10, 14, 12), 0)
    expected = np.full((HEIGHT, WIDTH), 7)
    expected[9:13, 9:15] = 0
    np.testing.assert_array_equal(canvas.labels, expected)
    assert canvas.picture().max() < 40  # noise alone


@pytest.mark.parametrize("region", [Polygon(), box(3, 3, 5, 5)])
def test_no_region_and_slivers_are_left_out(rng: np.random.Generator, region: Polygon) -> None:
    canvas = Canvas(rng, WIDTH, HEIGHT)
    canvas.paint(region, Surface((255, 255, 255)), 3)
    assert not canvas.labels.any()
    assert canvas.picture().max() < 40


@pytest.mark.parametrize("texture", TEXTURES)
def test_texture_stays_near_the_colour(rng: np.random.Generator, texture: str) -> None:
    surface = Surface((10.0, 100.0, 200.0), texture, strength=20, period=6)
    pixels = fill(rng, surface, 50, 37)
    assert pixels.shape == (37, 50, 3)
    assert np.abs(pixels.mean((0, 1)) - surface.colour).max() < 20
    assert pixels.std((0, 1)).max() < 25
    assert (pixels.std() > pixels.mean((0, 1)).std()) == (texture != "plain")
    np.testing.assert_allclose(np.ptp(pixels - np.asarray(surface.colour), axis=2), 0, atol=1e-9)
