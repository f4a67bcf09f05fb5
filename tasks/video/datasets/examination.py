"""What a look at one video and its class tells."""

from __future__ import annotations

import cv2
import numpy as np

from tasks.data_checks.drawing import fitted, put_text
from tasks.data_checks.sample import Sample
from tasks.video.decoding import VideoError, VideoReader, open_video

from .labelled_videos import UNKNOWN

_PIECE = 2**27  # bytes of frames that are held at a time
_CHANNELS = 3


def examine_video(path: str, label: int, listed: int = UNKNOWN, **options: str) -> Sample:
    """Decode a video whole, in pieces.

    Args:
        path: The file, or folder of frames.
        label: Index of its class.
        listed: How many frames it should have, if that is known.
        **options: Of `open_video`.
    """
    try:
        with open_video(path, **options) as reader:
            size, total = reader.size, len(reader)
            _decode(reader)
            decoded = total - reader.stood_in
    except VideoError as error:
        return Sample(path, labels={label: 1}, problems=(str(error),))
    problems = []
    if decoded < total:
        problems.append(f"{path}: only {decoded} of {total} frames can be decoded")
    if listed not in (UNKNOWN, total):
        problems.append(f"{path} has {total} frames, but its list says {listed}")
    return Sample(path, size, {label: 1}, tuple(problems))


def _decode(reader: VideoReader) -> None:
    """Decode all frames."""
    width, height = reader.size
    piece = max(1, _PIECE // (width * height * _CHANNELS))
    for start in range(0, len(reader), piece):
        reader.read(range(start, min(start + piece, len(reader))))


def draw_video(path: str, name: str, **options: str) -> np.ndarray:
    """Four frames from the first to the last, two a row, with the name of the class.

    Args:
        path: The file, or folder of frames.
        name: Of its class.
        **options: Of `open_video`.

    Returns:
        uint8 of shape (height, width, 3), blue, green, red.

    Raises:
        VideoError: It cannot be read.
    """
    with open_video(path, **options) as reader:
        first, second, third, last = reader.read(np.linspace(0, len(reader) - 1, 4).astype(int))
    grid = np.vstack([np.hstack([first, second]), np.hstack([third, last])])
    picture = fitted(cv2.cvtColor(grid, cv2.COLOR_RGB2BGR))
    put_text(picture, name, (0, 0))
    return picture
