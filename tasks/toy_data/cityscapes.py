"""A generated set laid out as Cityscapes.

Streets in `leftImg8bit/SPLIT/CITY/*_leftImg8bit.png`; beside them in `gtFine/SPLIT/CITY/` are
`*_gtFine_labelIds.png` with the official label ids and `*_gtFine_labelTrainIds.png` with the 19
training ids and 255 for what is ignored. No city is in both splits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .cityscapes_labels import TRAIN_IDS
from .image_files import write_image
from .parameters import ToyParameters
from .street.scene import draw

CITIES = {"train": ("aachen", "bochum", "ulm"), "val": ("lindau", "munster")}
_FRAME = 19  # of its sequence, as all annotated pictures of Cityscapes


@dataclass(frozen=True)
class CityscapesToy(ToyParameters):
    """A set like Cityscapes': `size` is the height; a picture is twice as wide."""

    train: int = 100
    val: int = 20
    size: int = 128


def generate(
    folder: Path, parameters: CityscapesToy, progress: Callable[[int, int], None] = lambda *_: None
) -> None:
    """Write the set into an empty folder.

    Args:
        folder: exists and is empty.
        parameters: the same ones give the same bytes.
        progress: called with (pictures written, pictures in all).

    Raises:
        OSError: a file cannot be written.
    """
    total, done = sum(parameters.pictures.values()), 0
    for number, (split, count) in enumerate(parameters.pictures.items()):
        for index in range(count):
            rng = np.random.default_rng([parameters.seed, number, index])
            picture, labels = draw(rng, index, parameters.size)
            sequence, place = divmod(index, len(CITIES[split]))
            city = CITIES[split][place]
            images, annotations = (
                folder / kind / split / city for kind in ("leftImg8bit", "gtFine")
            )
            images.mkdir(parents=True, exist_ok=True)
            annotations.mkdir(parents=True, exist_ok=True)
            name = f"{city}_{sequence:06d}_{_FRAME:06d}"
            write_image(images / f"{name}_leftImg8bit.png", picture)
            write_image(annotations / f"{name}_gtFine_labelIds.png", labels)
            write_image(annotations / f"{name}_gtFine_labelTrainIds.png", TRAIN_IDS[labels])
            done += 1
            progress(done, total)
