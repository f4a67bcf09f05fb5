"""A sample as people look at it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from tasks.data_checks.drawing import PICTURE_SIDE, fitted, line_height, put_text

_TEXT = 14  # pixels
_CELL = 160  # of a name in the legend, wide
_GAP = 4


def draw(
    image: np.ndarray,
    label: np.ndarray,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> np.ndarray:
    """An image and its label, and the names of the classes that occur below.

    The label stands beside an image that is higher than wide, else below it.

    Args:
        image: uint8 of shape (height, width, 3), blue, green, red.
        label: Class indices, uint8 of shape (height, width); what has no class is black.
        classes: Their names.
        palette: Their colours, red, green, blue.

    Returns:
        uint8 of shape (height, width, 3), blue, green, red.
    """
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette)] = np.asarray(palette)[:, ::-1]
    present = [index for index in np.unique(label).tolist() if index < len(classes)]
    legend = _legend(PICTURE_SIDE, [(classes[i], colours[i]) for i in present])

    height, width = image.shape[:2]
    below = width >= height
    room = PICTURE_SIDE - len(legend)
    across, down = (PICTURE_SIDE, room // 2) if below else (PICTURE_SIDE // 2, room)
    scale = max(min(across / width, down / height), 1 / min(width, height))
    photo = fitted(image, round(scale * max(width, height)))
    size = photo.shape[1::-1]
    drawn = cv2.resize(colours[label], size, interpolation=cv2.INTER_NEAREST)
    both = np.vstack([photo, drawn]) if below else np.hstack([photo, drawn])
    margin = max(0, PICTURE_SIDE - both.shape[1])
    both = np.pad(both, ((0, 0), (margin // 2, margin - margin // 2), (0, 0)), constant_values=255)
    return np.vstack([both, legend])


def _legend(width: int, entries: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
    columns = width // _CELL
    line = line_height(_TEXT)
    legend = np.full((-(-len(entries) // columns) * line, width, 3), 255, np.uint8)
    for number, (name, colour) in enumerate(entries):
        row, column = divmod(number, columns)
        cell = legend[row * line : (row + 1) * line, column * _CELL : (column + 1) * _CELL]
        cell[_GAP:-_GAP, _GAP : _GAP + line] = colour
        put_text(cell[:, line + 2 * _GAP :], name, (0, 0), (0, 0, 0), None, _TEXT)
    return legend
