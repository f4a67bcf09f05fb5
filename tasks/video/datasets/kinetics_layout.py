"""Where the videos and the annotations of Kinetics lie below a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice

import numpy as np

from tasks.data_checks import DatasetError
from tasks.image_classes import class_folder_names

from .kinetics_csv import is_kinetics_csv, parse_csv
from .list_file import class_names, parse_list

_LISTS = (
    "kinetics400_{split}_list_videos.txt",
    "kinetics400_{split}_list_rawframes.txt",
    "{split}.txt",
)
_CSVS = ("{split}.csv", "kinetics_{split}.csv", "kinetics400_{split}.csv")
_OTHER_NAMES = {"train": (), "val": ("validate",)}
_PLACES = ("", "annotations")
_FOLDERS = ("{split}", "videos_{split}", "rawframes_{split}")
_LOOKED_AT = 100  # videos of a list, to see what their paths are relative to


@dataclass(frozen=True)
class Split:
    """Where a split is, relative to the root.

    Attributes:
        videos: Folder of the videos.
        list_file: List or CSV file; without one the videos lie in a sub-folder a class.
    """

    videos: str
    list_file: str = ""


def find_split(root: str, split: str, listed: str | None, videos: str | None) -> Split:
    """Find what is not given by the names that Kinetics and mmaction2 give it.

    The first of these that there is: a list `kinetics400_SPLIT_list_videos.txt`, the same with
    `rawframes`, or `SPLIT.txt`; a CSV file `SPLIT.csv`, `kinetics_SPLIT.csv` or
    `kinetics400_SPLIT.csv`, each in the root or in `annotations`, where "validate" stands for "val"
    as well; a folder `SPLIT`, `videos_SPLIT` or `rawframes_SPLIT` with class folders. The folder of
    the videos of a list is the one of these, or the root, in which most of its first videos lie;
    that of a CSV file is the first there is.

    Args:
        root: The folder of the data.
        split: "train" or "val".
        listed: List or CSV file, relative to the root; an empty text asks for class folders.
        videos: Folder of the videos, relative to the root.

    Raises:
        DatasetError: Nothing of it is there, or a list has not its form.
    """
    if listed is None:
        listed = next((name for name in _candidates(split) if _is_file(root, name)), "")
    folders = [name.format(split=split) for name in _FOLDERS] if videos is None else [videos]
    folders = [name for name in folders if os.path.isdir(os.path.join(root, name))]
    if listed:
        return Split(videos if videos is not None else _home(root, listed, folders), listed)
    for name in folders:
        if class_folder_names(os.path.join(root, name)):
            return Split(name)
    tried = f"{split}.txt or {split}.csv"
    inside = f"{videos if videos is not None else split}/CLASS/"
    raise DatasetError(
        f"kinetics_data.root={root!r} has neither a list {tried} nor folders {inside} of videos; "
        f"it holds {sorted(os.listdir(root))[:8]}. Name what it has by kinetics_data.{split}_list "
        f"or kinetics_data.{split}_videos"
    )


def read_classes(root: str, split: Split) -> tuple[str, ...]:
    """Names of the classes of the training data, or their numbers where a list has no names.

    Raises:
        DatasetError: A list has not its form, or no video of a class.
    """
    if not split.list_file:
        return class_folder_names(os.path.join(root, split.videos))
    path = os.path.join(root, split.list_file)
    if is_kinetics_csv(path):
        return parse_csv(path).classes
    labels = parse_list(path).labels
    count = int(labels.max()) + 1
    absent = np.setdiff1d(np.arange(count), labels)
    if len(absent):
        raise DatasetError(
            f"{path} has the labels 0 to {count - 1}, but no video of {len(absent)} of these "
            f"classes: {absent[:5].tolist()}{' and more' * (len(absent) > 5)}; labels count the "
            "classes from 0, without gaps"
        )
    return class_names(path, count - 1)


def _candidates(split: str) -> list[str]:
    """Names of lists and CSV files, relative to the root."""
    names = (split, *_OTHER_NAMES[split])
    return [
        os.path.join(place, pattern.format(split=name))
        for patterns in (_LISTS, _CSVS)
        for place in _PLACES
        for pattern in patterns
        for name in names
    ]


def _is_file(root: str, name: str) -> bool:
    return os.path.isfile(os.path.join(root, name))


def _home(root: str, listed: str, folders: list[str]) -> str:
    """The folder that the paths of a list are relative to."""
    path = os.path.join(root, listed)
    if is_kinetics_csv(path):
        return folders[0] if folders else ""
    names = [os.fsdecode(name) for name in islice(parse_list(path).paths.tolist(), _LOOKED_AT)]
    places = [*folders, ""]
    hits = [
        sum(os.path.exists(os.path.join(root, folder, name)) for name in names) for folder in places
    ]
    return places[hits.index(max(hits))]
