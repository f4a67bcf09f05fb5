from __future__ import annotations

import random

import pytest

from tasks.video.transforms.resize_window import resize_window


@pytest.mark.parametrize("highest", [40, 400, 2000])
def test_places_are_those_of_the_whole(highest):
    random.seed(0)
    for _ in range(300):
        source, target = random.randint(1, highest), random.randint(1, highest)
        count = random.randint(1, target)
        first = random.randint(0, target - count)
        part, becomes = resize_window(first, count, source, target)
        assert 0 <= part.start < part.stop <= source
        assert becomes.start <= first
        assert first + count <= becomes.stop <= target
        scale = (part.stop - part.start) / (becomes.stop - becomes.start)
        for pixel in (first, first + count - 1):
            whole = (pixel + 0.5) * source / target - 0.5
            place = part.start + (pixel - becomes.start + 0.5) * scale - 0.5
            assert abs(place - whole) <= 1 / 48 + 1e-9
            # No pixel outside of the part is read, save beyond the frame.
            assert part.start <= whole or part.start == 0
            assert whole <= part.stop - 1 or part.stop == source


def test_little_more_than_what_is_wanted():
    for first in range(100):
        part, _ = resize_window(first, 224, 340, 399)
        wanted = 224 * 340 / 399
        assert wanted <= part.stop - part.start < wanted + 90
    assert resize_window(10, 20, 200, 100) == (slice(20, 60), slice(10, 30))
    assert resize_window(0, 7, 5, 7) == (slice(0, 5), slice(0, 7))
