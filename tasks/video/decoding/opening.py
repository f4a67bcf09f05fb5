"""Opening of videos, whichever way they are stored."""

from __future__ import annotations

import os

from .frame_folder import FrameFolder
from .reader import VideoReader
from .video_file import VideoFile


def open_video(path: str, template: str = "img_{:05d}.jpg") -> VideoReader:
    """Open a video file, or a folder of frames.

    Args:
        path: File or folder.
        template: Name of a frame of a folder, with a replacement field for its number.

    Raises:
        VideoError: It is missing, damaged or no video; the message names it.
        DatasetError: The template has another form.
    """
    return FrameFolder(path, template) if os.path.isdir(path) else VideoFile(path)
