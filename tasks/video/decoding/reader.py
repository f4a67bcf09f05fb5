"""What every source of frames offers."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

import numpy as np


class VideoReader(Protocol):
    """The frames of one video, by their place in the order in which they are shown.

    A reader is a context manager that closes itself. `len(reader)` is the number of frames that can
    be asked for.

    Attributes:
        path: The file or folder.
        fps: Frames per second on average; None where nothing tells.
        times: Seconds at which each frame is shown, counted from the first, ascending, float64 of
            shape (frames,); None where nothing tells.
        size: Width and height as shown, in pixels.
        stood_in: How many different frames that were asked for did not decode, so that the nearest
            one that did took the place of each.
    """

    path: str
    fps: float | None
    times: np.ndarray | None

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def stood_in(self) -> int: ...

    def __len__(self) -> int: ...

    def __enter__(self) -> VideoReader: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Decode frames, each of them once.

        Args:
            indices: Which, from 0, in any order and with repeats.

        Returns:
            uint8 of shape (len(indices), height, width, 3), RGB.

        Raises:
            VideoError: None of the frames decodes, or one of a folder does not.
            IndexError: An index is out of range.
        """
        ...

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        ...
