from __future__ import annotations

import cv2
import numpy as np

from tasks.data_checks.contact_sheet import choose, contact_sheet, encode_png
from tasks.data_checks.drawing import PICTURE_SIDE, RED
from tests.tasks.data_checks.squares import COLOURS, Squares


def _share(region: np.ndarray, colour: tuple) -> float:
    return float((region == np.asarray(colour, np.uint8)).all(axis=-1).mean())


def _tiles(sheet: np.ndarray, rows: int, columns: int) -> list[np.ndarray]:
    return [
        tile
        for band in np.array_split(sheet, rows, axis=0)
        for tile in np.array_split(band, columns, axis=1)
    ]


def test_samples_with_problems_come_first() -> None:
    assert choose(range(100), [], 3) == [0, 50, 99]
    assert choose(range(100), [40, 7], 4) == [40, 7, 0, 99]
    # They leave room for others.
    assert choose(range(100), list(range(50)), 4) == [0, 49, 50, 99]
    assert choose([1, 2], [2], 9) == [2, 1]
    assert choose(range(5), [1], 0) == []


def test_tiles() -> None:
    sheet = contact_sheet(Squares(4, broken=[3], marked=[1]), range(4))
    assert sheet.dtype == np.uint8
    assert min(sheet.shape[:2]) > 2 * PICTURE_SIDE
    red, green, again, broken = _tiles(sheet, 2, 2)
    assert _share(red, COLOURS[0]) > 0.7
    assert _share(green, COLOURS[1]) > 0.6
    assert _share(again, COLOURS[0]) > 0.6
    assert max(_share(broken, colour) for colour in COLOURS) < 0.01
    for tile, problem in ((red, False), (green, True), (again, False), (broken, True)):
        assert (_share(tile, RED) > 0.002) == problem
        caption = tile[PICTURE_SIDE:]
        assert caption.min() < 100  # there is text


def test_size_of_the_sheet_follows_from_the_number_of_samples() -> None:
    one = contact_sheet(Squares(9), [8]).shape
    nine = contact_sheet(Squares(9), range(9)).shape
    assert all(2.9 < large / small < 3 for large, small in zip(nine[:2], one[:2], strict=True))
    assert contact_sheet(Squares(9), range(5)).shape[0] < nine[0]


def test_png() -> None:
    sheet = contact_sheet(Squares(1), [0])
    encoded = np.frombuffer(encode_png(sheet), np.uint8)
    assert (cv2.imdecode(encoded, cv2.IMREAD_COLOR) == sheet).all()
