"""A set of generated videos laid out as Kinetics, whose classes are motions.

`train/CLASS/ID_SSSSSS_EEEEEE.mp4` and the same under `val` hold the videos, with the spaces of a
label as underscores in the name of its folder. `annotations/train.csv` and `annotations/val.csv`
have the columns label, youtube_id, time_start, time_end (seconds, the two numbers in the name of
the file) and split. A few videos are webm files, and a few have frames that last unequally long.

The eight classes are directions, four pairs of opposites. What moves, over what, from where and how
fast are drawn independently of the class, so that, save for traces of the compression, single
frames give an accuracy of 1/8 and shuffled frames one of 1/2 at most (`motion_scenes` says why). A
mirrored clip is one of another class: neither training nor testing may flip.
"""

from __future__ import annotations

import csv
import math
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .motion_scenes import MOTIONS, random_scene, render
from .parameters import ToyParameters

CLASSES = tuple(MOTIONS)  # in the order of their names
COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
_ID_LETTERS = tuple(string.ascii_letters + string.digits + "-_")
_ID_LENGTH = 11
_LATEST = 600  # start of a clip in the longer video that it would be from, seconds


@dataclass(frozen=True)
class KineticsToy(ToyParameters):
    """A set like Kinetics: `train` and `val` count videos of a class, `size` is the height.

    Attributes:
        frames: of a video, at least 2.

    Raises:
        ValueError: a number is out of range, or `size` is odd.
    """

    train: int = 40
    val: int = 10
    size: int = 64
    frames: int = 32

    least_size = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % 2:
            raise ValueError(f"size is {self.size}; it must be even, as the codecs want it")
        if self.frames < 2:
            raise ValueError(f"frames is {self.frames}; it must be at least 2")

    @property
    def width(self) -> int:
        """Of a video in pixels: a quarter more than the height, and even."""
        return 2 * round(self.size * 5 / 8)

    @property
    def pictures(self) -> dict[str, int]:
        """Number of videos of each split."""
        return {split: len(CLASSES) * count for split, count in super().pictures.items()}


def generate(
    folder: Path, parameters: KineticsToy, progress: Callable[[int, int], None] = lambda *_: None
) -> None:
    """Write the set into an empty folder.

    Args:
        folder: exists and is empty.
        parameters: the same ones give the same bytes.
        progress: called with (videos written, videos in all).

    Raises:
        OSError: a file cannot be written.
    """
    # Here, as the other sets need no encoder of videos.
    from .kinetics_files import FORMS, write_clip

    total, done = sum(parameters.pictures.values()), 0
    (folder / "annotations").mkdir()
    for number, split in enumerate(("train", "val")):
        rows: list[tuple[str, str, int, int, str]] = []
        for label, name in enumerate(CLASSES):
            place = folder / split / name.replace(" ", "_")
            place.mkdir(parents=True)
            for index in range(getattr(parameters, split)):
                rng = np.random.default_rng([parameters.seed, number, label, index])
                form = FORMS[index % len(FORMS)]
                clip = render(
                    random_scene(rng, parameters.width, parameters.size), name, parameters.frames
                )
                identity = "".join(rng.choice(_ID_LETTERS, _ID_LENGTH))
                start = int(rng.integers(_LATEST))
                end = start + math.ceil(parameters.frames / form.fps)
                file = place / f"{identity}_{start:06d}_{end:06d}{form.suffix}"
                write_clip(rng, file, clip, form)
                rows.append((name, identity, start, end, split))
                done += 1
                progress(done, total)
        with (folder / "annotations" / f"{split}.csv").open("w", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *sorted(rows)])
