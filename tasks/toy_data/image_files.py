"""Image files of generated sets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

_OPTIONS = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95], ".png": []}


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write an image file in the format that its name ends with.

    Args:
        path: ends in `.jpg` or `.png`.
        pixels: uint8 array of shape (height, width) or, blue, green, red, (height, width, 3).

    Raises:
        OSError: the file cannot be written.
    """
    _, encoded = cv2.imencode(path.suffix, pixels, _OPTIONS[path.suffix])
    path.write_bytes(encoded.tobytes())
