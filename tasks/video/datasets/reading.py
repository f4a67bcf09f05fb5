"""Videos and their classes, however they are laid out."""

from __future__ import annotations

from .class_folders import read_video_folders
from .kinetics_csv import is_kinetics_csv, read_kinetics_csv
from .labelled_videos import LabelledVideos
from .list_file import read_video_list


def read_videos(
    folder: str, source: str, classes: tuple[str, ...] | None = None, allow_missing: bool = False
) -> LabelledVideos:
    """Read class folders, a list file or a CSV file of Kinetics.

    Args:
        folder: The folder of the videos.
        source: The file; the folder itself where videos lie in a sub-folder a class.
        classes: Names of the classes in their order.
        allow_missing: Leave out videos of the file that are not there.

    Raises:
        DatasetError: Something is missing, empty or not of its form, or the classes are others.
    """
    if source == folder:
        return read_video_folders(folder, classes)
    read = read_kinetics_csv if is_kinetics_csv(source) else read_video_list
    return read(source, folder, classes, allow_missing)
