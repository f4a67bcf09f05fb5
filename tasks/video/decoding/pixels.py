"""Decoded frames as arrays."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import VideoReformatter


class ToRGB:
    """Turns frames into RGB of one size, as they are to be shown.

    Frames of another size, as after a change in mid-stream, are scaled to it.

    Args:
        width: Of frames before they are turned.
        height: Of frames before they are turned.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame, out: np.ndarray, turns: int) -> None:
        """Convert a frame.

        Args:
            frame: As decoded.
            out: Where to write, uint8 of shape (height, width, 3).
            turns: Quarters by which to turn it counter-clockwise.
        """
        # Threads of a process that forks are a risk, and cost more than they save.
        rgb = self._reformatter.reformat(
            frame, width=self.width, height=self.height, format="rgb24", threads=1
        )
        plane = rgb.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        pixels = rows[: self.height, : 3 * self.width].reshape(self.height, self.width, 3)
        out[...] = np.rot90(pixels, turns) if turns else pixels


def quarter_turns(frame: av.VideoFrame) -> int:
    """Quarters, 0 to 3, by which players turn a frame counter-clockwise."""
    return round(frame.rotation / 90) % 4
