"""A generated set laid out as ADE20K's scene parsing release (ADEChallengeData2016).

Rooms and parks in `images/{training,validation}/ADE_{train,val}_*.jpg`, their label maps under the
same names in `annotations/`: 0 for what has no class, 1 to 150 in the order of `NAMES`, of which
ten occur. `objectInfo150.txt` counts these, `sceneCategories.txt` names the scene of each picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .ade20k_names import NAMES
from .ade20k_scenes import SCENES, draw
from .image_files import write_image
from .parameters import ToyParameters

_FOLDERS = {"train": "training", "val": "validation"}


@dataclass(frozen=True)
class ADE20KToy(ToyParameters):
    """A set like ADE20K's: `size` is the longer side, of which the shorter one is 3/4 or more."""

    train: int = 120
    val: int = 24
    size: int = 128


def _frame(rng: np.random.Generator, size: int) -> tuple[int, int]:
    sides = size, int(rng.integers(size * 3 // 4, size, endpoint=True))
    return sides if rng.integers(2) else sides[::-1]


def _object_info(pixels: np.ndarray, pictures: dict[str, np.ndarray]) -> str:
    lines = ["Idx\tRatio\tTrain\tVal\tName"]
    for label, name in enumerate(NAMES, 1):
        ratio = pixels[label] / pixels.sum()
        counts = f"{pictures['train'][label]}\t{pictures['val'][label]}"
        lines.append(f"{label}\t{ratio:.4f}\t{counts}\t{name}")
    return "\n".join(lines) + "\n"


def generate(
    folder: Path, parameters: ADE20KToy, progress: Callable[[int, int], None] = lambda *_: None
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
    pixels = np.zeros(len(NAMES) + 1, int)
    pictures = {split: np.zeros(len(NAMES) + 1, int) for split in _FOLDERS}
    categories = []
    for number, (split, count) in enumerate(parameters.pictures.items()):
        images, annotations = (
            folder / kind / _FOLDERS[split] for kind in ("images", "annotations")
        )
        images.mkdir(parents=True)
        annotations.mkdir(parents=True)
        for index in range(count):
            rng = np.random.default_rng([parameters.seed, number, index])
            scene = tuple(SCENES)[index % len(SCENES)]
            picture, labels = draw(rng, scene, *_frame(rng, parameters.size))
            name = f"ADE_{split}_{index + 1:08d}"
            write_image(images / f"{name}.jpg", picture)
            write_image(annotations / f"{name}.png", labels)
            counted = np.bincount(labels.ravel(), minlength=len(pixels))
            pixels += counted
            pictures[split] += counted > 0
            categories.append(f"{name} {scene}\n")
            done += 1
            progress(done, total)
    (folder / "objectInfo150.txt").write_text(_object_info(pixels, pictures))
    (folder / "sceneCategories.txt").write_text("".join(categories))
