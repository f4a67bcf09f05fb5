"""Text and sizes of pictures that people look at."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

PICTURE_SIDE = 480
BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (40, 40, 200)
_FONT = "fonts/ttf/DejaVuSans.ttf"  # matplotlib's own, with the letters of most alphabets
_MARGIN = 3

Colour = tuple[int, int, int]


def fitted(image: np.ndarray, side: int = PICTURE_SIDE) -> np.ndarray:
    """An image at the size of a picture, so that text drawn on it can be read.

    Args:
        image: uint8 of shape (height, width, 3).
        side: length of the longer side of the result.
    """
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=method)


def put_text(
    image: np.ndarray,
    text: str,
    at: tuple[int, int],
    colour: Colour = WHITE,
    ground: Colour | None = BLACK,
    size: int = 16,
) -> None:
    """Write one line, moved into the image where it would stick out.

    Args:
        image: uint8 of shape (height, width, 3), changed in place.
        text: what does not fit into the width is cut off.
        at: (x, y) of the upper left corner.
        colour: blue, green, red.
        ground: of the rectangle behind the text; None for what is there.
        size: height of the letters with their line, in pixels.
    """
    height, width = image.shape[:2]
    extent = round(_font(size).getlength(text)) + 2 * _MARGIN, line_height(size)
    left = max(0, min(at[0], width - extent[0]))
    top = max(0, min(at[1], height - extent[1]))
    region = image[top : top + extent[1], left : left + extent[0]]
    if ground is not None:
        region[:] = ground
    canvas = Image.fromarray(region)
    corner = (_MARGIN, _MARGIN // 2)
    ImageDraw.Draw(canvas).text(corner, text, fill=colour, font=_font(size))
    region[:] = np.asarray(canvas)


def line_height(size: int = 16) -> int:
    """Height of a line that `put_text` writes, in pixels."""
    return sum(_font(size).getmetrics()) + _MARGIN


def wrapped(text: str, width: int, size: int = 16) -> list[str]:
    """Lines that fit into a width; words that do not are broken."""
    lines = [""]
    for word in text.split():
        if lines[-1] and _fits(f"{lines[-1]} {word}", width, size):
            lines[-1] += f" {word}"
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if not _fits(lines[-1] + letter, width, size):
                lines.append("")
            lines[-1] += letter
    return lines


def shortened(text: str, width: int, size: int = 16) -> str:
    """A text without what is too much of its beginning."""
    short = text
    while short and not _fits(short if short == text else f"…{short}", width, size):
        short = short[1:]
    return short if short == text else f"…{short}"


def _fits(text: str, width: int, size: int) -> bool:
    return _font(size).getlength(text) + 2 * _MARGIN <= width


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path(), _FONT), size - _MARGIN)
