from __future__ import annotations

import numpy as np
import pytest

from tasks.data_checks.drawing import fitted, put_text, shortened, wrapped


@pytest.mark.parametrize(
    ("shape", "size"), [((10, 20), (50, 100)), ((400, 200), (100, 50)), ((1, 900), (1, 100))]
)
def test_fitted(shape: tuple[int, int], size: tuple[int, int]) -> None:
    result = fitted(np.full((*shape, 3), 7, np.uint8), 100)
    assert result.shape == (*size, 3)
    assert (result == 7).all()


@pytest.mark.parametrize("at", [(0, 0), (500, 500), (-30, 70)])
@pytest.mark.parametrize("text", ["cat", "a class name that is far too long", "Köln Ж 猫"])
def test_text_is_moved_into_the_image(at: tuple[int, int], text: str) -> None:
    image = np.full((80, 90, 3), 60, np.uint8)
    put_text(image, text, at, colour=(0, 255, 0), ground=(255, 0, 0))
    assert (image == (0, 255, 0)).all(axis=-1).any()
    assert (image == (255, 0, 0)).all(axis=-1).sum() > 100


def test_text_on_a_tiny_image() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    put_text(image, "cat", (0, 0), ground=(9, 9, 9))
    assert image.any()


def test_lines_fit_and_lose_nothing() -> None:
    text = "value 33 of /a/very/long/path/without/any/blank/in/it.png is out of range"
    lines = wrapped(text, 100)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(shortened(line, 100) == line for line in lines)
    assert wrapped("short", 100) == ["short"]


def test_shortened_keeps_the_end() -> None:
    short = shortened("some/folder/of/many/0001.jpg", 120)
    assert short.startswith("…")
    assert short.endswith("0001.jpg")
    assert shortened("1.jpg", 120) == "1.jpg"
