"""A sheet of small pictures that shows samples with their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from .drawing import PICTURE_SIDE, RED, WHITE, fitted, line_height, put_text, shortened, wrapped
from .problems import DatasetError
from .sample import Examinable, Sample
from .scan import spread

_GAP = 8
_PAPER, _EMPTY, _INK = (255, 255, 255), (96, 96, 96), (30, 30, 30)


def choose(indices: Sequence[int], troubled: Sequence[int], count: int) -> list[int]:
    """Samples for a sheet: those with problems first, then evenly spread ones.

    Args:
        indices: of the samples that were looked at.
        troubled: of those with problems; they get half of the places at most.
        count: number of places.
    """
    first = [troubled[at] for at in spread(len(troubled), (count + 1) // 2)]
    sound = set(indices).difference(troubled)
    rest = [index for index in indices if index in sound]
    return first + [rest[at] for at in spread(len(rest), count - len(first))]


def contact_sheet(dataset: Examinable, indices: Sequence[int]) -> np.ndarray:
    """Samples in a grid, each with its file name and size, and with its problems in red.

    Args:
        dataset: where they come from.
        indices: which samples, at least one.

    Returns:
        uint8 of shape (height, width, 3), blue, green, red.
    """
    columns = math.ceil(math.sqrt(len(indices)))
    rows = math.ceil(len(indices) / columns)
    across, down = PICTURE_SIDE + _GAP, PICTURE_SIDE + 2 * line_height() + _GAP
    sheet = np.full((rows * down + _GAP, columns * across + _GAP, 3), _PAPER, np.uint8)
    for place, index in enumerate(indices):
        row, column = divmod(place, columns)
        top, left = _GAP + row * down, _GAP + column * across
        _fill(sheet[top : top + down - _GAP, left : left + across - _GAP], dataset, index)
    return sheet


def _fill(tile: np.ndarray, dataset: Examinable, index: int) -> None:
    sample = dataset.examine(index)
    frame = tile[:PICTURE_SIDE]
    try:
        picture = fitted(dataset.picture(index))
    except DatasetError:
        frame[:] = _EMPTY
    else:
        height, width = picture.shape[:2]
        top, left = (PICTURE_SIDE - height) // 2, (PICTURE_SIDE - width) // 2
        frame[top : top + height, left : left + width] = picture
    lines = [
        line for text in sample.problems for line in wrapped(_short(sample, text), PICTURE_SIDE)
    ]
    for number, line in enumerate(lines[: PICTURE_SIDE // line_height()]):
        put_text(frame, line, (0, number * line_height()), WHITE, RED)
    name = "/".join(Path(sample.file).parts[-2:])
    size = "size unknown" if sample.size is None else f"{sample.size[0]} x {sample.size[1]}"
    for number, line in enumerate((shortened(name, PICTURE_SIDE), size)):
        put_text(tile, line, (0, PICTURE_SIDE + number * line_height()), _INK, None)


def _short(sample: Sample, text: str) -> str:
    """The file is named below the picture."""
    return text.removeprefix(sample.file).strip()


def encode_png(picture: np.ndarray) -> bytes:
    """A picture as the content of a PNG file."""
    _, encoded = cv2.imencode(".png", picture)
    return encoded.tobytes()
