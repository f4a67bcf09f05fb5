"""Folders of frames that are image files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType

import cv2
import numpy as np

from tasks.data_checks import DatasetError, read_image_file

from .errors import VideoError
from .frame_names import frame_names
from .wanted import asked_order, distinct


class FrameFolder:
    """The frames of a video as numbered image files of one size.

    Implements :class:`~tasks.video.decoding.VideoReader`.

    Args:
        path: The folder, which is listed once.
        template: Name of a frame, with a replacement field for its number; see `frame_names`.

    Raises:
        VideoError: The folder has no frames, or one is missing.
        DatasetError: The template has another form.
    """

    fps = None
    times = None
    stood_in = 0

    def __init__(self, path: str, template: str = "img_{:05d}.jpg") -> None:
        self.path = path
        self._names = frame_names(path, template)
        self._size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self._names)

    def __enter__(self) -> FrameFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the first frame, in pixels.

        Raises:
            VideoError: The first frame does not decode.
        """
        if self._size is None:
            self._decoded(0)
        return self._size

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Decode frames, each of them once.

        Args:
            indices: Which, from 0, in any order and with repeats.

        Returns:
            uint8 of shape (len(indices), height, width, 3), RGB.

        Raises:
            VideoError: A frame does not decode, or has another size than the others.
            IndexError: An index is out of range.
        """
        asked, places = distinct(indices, len(self), self.path)
        if not len(asked):
            width, height = self.size
            return np.empty((0, height, width, 3), np.uint8)
        return asked_order(np.stack([self._decoded(index) for index in asked.tolist()]), places)

    def close(self) -> None:
        """Nothing is open between reads."""

    def _decoded(self, index: int) -> np.ndarray:
        path = os.path.join(self.path, self._names[index])
        try:
            content = read_image_file(path)
        except DatasetError as error:
            raise VideoError(str(error)) from error
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:  # more pixels than OpenCV reads
            image = None
        if image is None:
            raise VideoError(f"{path} is not an image that OpenCV decodes; fetch it again")
        size = image.shape[1::-1]
        if self._size is None:
            self._size, self._measured = size, self._names[index]
        elif size != self._size:
            raise VideoError(
                f"{path} is {size[0]} x {size[1]}, but {self._measured} is {self._size[0]} x "
                f"{self._size[1]}; the frames of a video have one size"
            )
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
