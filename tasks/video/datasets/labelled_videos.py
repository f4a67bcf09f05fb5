"""Which videos there are, and of which class, from folders or a file of annotations."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmengine.logging import print_log

from tasks.data_checks import DatasetError, found, raise_if_any

UNKNOWN = -1
_SHOWN = 3


@dataclass(frozen=True)
class LabelledVideos:
    """Videos with their classes, in a form that the workers of a loader share.

    Attributes:
        folder: What the paths are relative to.
        paths: Paths of files, or of folders of frames; byte strings of shape (videos,).
        labels: Class indices, int64 of shape (videos,).
        frames: Number of frames of each as its list gives it, int64 of shape (videos,); `UNKNOWN`
            where it gives none.
        classes: Names of the classes, or their numbers; some may have no video.
    """

    folder: str
    paths: np.ndarray
    labels: np.ndarray
    frames: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, index: int) -> str:
        """Path of a video, not relative to `folder`."""
        return os.path.join(self.folder, os.fsdecode(self.paths[index]))


def check_present(
    source: str, folder: str, present: np.ndarray, described: Sequence[str], allow_missing: bool
) -> None:
    """Check that what a file of annotations names is there, or tell how much is.

    Args:
        source: The file.
        folder: The folder of the videos.
        present: Which videos are there, bool of shape (videos,).
        described: What to call those that are missing.
        allow_missing: Whether some may be.

    Raises:
        DatasetError: A video is missing that must not be, or all are.
    """
    total, count = len(present), int(present.sum())
    if count == total:
        return
    if not allow_missing:
        text = (
            f"of {total:,} videos that it lists are missing in {folder}; "
            "kinetics_data.allow_missing=True leaves such videos out"
        )
        raise_if_any(source, found(text, described))
    if not count:
        raise DatasetError(
            f"{source}: none of the {total:,} videos that it lists is in {folder}, such as "
            f"{described[0]}; is that the folder they are relative to?"
        )
    print_log(f"{count:,} of {total:,} videos of {source} are here", "current", logging.WARNING)


def tell_duplicates(source: str, paths: np.ndarray) -> None:
    """Warn of videos that are named more than once.

    Args:
        source: The file of annotations.
        paths: Byte strings of shape (videos,).
    """
    twice = [name for name, count in Counter(paths.tolist()).items() if count > 1]
    if not twice:
        return
    shown = ", ".join(map(os.fsdecode, twice[:_SHOWN]))
    more = f" and {len(twice) - _SHOWN:,} more" if len(twice) > _SHOWN else ""
    print_log(
        f"{source} names {len(twice):,} video{'s' if len(twice) > 1 else ''} more than once, each "
        f"time a sample: {shown}{more}",
        "current",
        logging.WARNING,
    )
