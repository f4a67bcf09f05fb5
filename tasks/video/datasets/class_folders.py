"""Videos in a sub-folder for each class."""

from __future__ import annotations

import os

import numpy as np

from tasks.image_classes import (
    IMAGE_SUFFIXES,
    FileKind,
    check_same_classes,
    read_class_folders,
)

from .labelled_videos import UNKNOWN, LabelledVideos

VIDEO_SUFFIXES = (
    ".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".flv", ".ts", ".wmv", ".mpg", ".mpeg", ".3gp",
)  # fmt: skip
_HIDDEN = "."


def read_video_folders(folder: str, classes: tuple[str, ...] | None = None) -> LabelledVideos:
    """Videos in one sub-folder a class, in alphabetical order of the classes.

    Args:
        folder: The folder of the videos.
        classes: Names that the classes must have, in this order.

    Raises:
        DatasetError: The folder is missing or has no sub-folders, a class has no video, or the
            classes are others.
    """
    found = read_class_folders(folder, "kinetics_data", _VIDEOS)
    own = found.classes or ()
    if classes is not None:
        check_same_classes(folder, own, classes)
    frames = np.full(len(found.paths), UNKNOWN)
    return LabelledVideos(folder, found.paths, found.labels, frames, own)


def videos_under(folder: str) -> list[str]:
    """Paths of all videos below a folder, relative to it, sorted.

    A sub-folder that holds an image is a video, the folder of its frames; of other folders, the
    files with a suffix of videos are.
    """
    result: list[str] = []
    pending = [""]
    while pending:
        inner = pending.pop()
        files, folders = [], []
        with os.scandir(os.path.join(folder, inner)) as entries:
            for entry in entries:
                if entry.name.startswith(_HIDDEN):
                    continue
                name = entry.name.lower()
                if inner and name.endswith(IMAGE_SUFFIXES):
                    # There are hundreds of frames, and the first tells enough.
                    files, folders = [inner], []
                    break
                if name.endswith(VIDEO_SUFFIXES):
                    files.append(os.path.join(inner, entry.name))
                elif entry.is_dir():
                    folders.append(os.path.join(inner, entry.name))
        result += files
        pending += folders
    return sorted(result)


_VIDEOS = FileKind("video", "videos", VIDEO_SUFFIXES, videos_under)
