"""A classification set of generated pictures in class folders, as ImageNet is laid out.

Every picture shows one shape, warm or cold in colour, over a textured background: eight classes in
`train/CLASS/` and `val/CLASS/`.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from shapely.geometry import box

from .parameters import ToyParameters
from .scene import SceneObject, paint
from .shapes import SHAPES, outline

_HUES = {"warm": 0.04, "cold": 0.58}  # of red and yellow, and of blue
CLASSES = tuple(sorted(f"{hue}_{shape}" for hue in _HUES for shape in SHAPES))
_RADIUS = (0.28, 0.45)  # of the side
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class ImageNetToy(ToyParameters):
    """A set like ImageNet's: `train` and `val` count pictures of a class, `size` is the side."""

    train: int = 160
    val: int = 40
    size: int = 64

    least_size = 16

    @property
    def pictures(self) -> dict[str, int]:
        """Number of pictures of each split."""
        return {split: len(CLASSES) * count for split, count in super().pictures.items()}


def _picture(rng: np.random.Generator, name: str, size: int) -> np.ndarray:
    hue, shape = name.split("_")
    radius = rng.uniform(*_RADIUS) * size
    centre = tuple(rng.uniform(0.9 * radius, size - 0.9 * radius, 2))
    region = outline(shape, centre, radius, rng.uniform(0.75, 1.33), rng.uniform(-20, 20))
    drawn = region.intersection(box(0, 0, size, size))
    red, green, blue = colorsys.hsv_to_rgb(
        (_HUES[hue] + rng.normal(0, 0.04)) % 1.0, rng.uniform(0.5, 1), rng.uniform(0.6, 1)
    )
    colour = (255 * blue, 255 * green, 255 * red)
    return paint(rng, size, size, [SceneObject(shape, drawn, drawn, colour)])


def generate(
    folder: Path, parameters: ImageNetToy, progress: Callable[[int, int], None] = lambda *_: None
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
    for number, split in enumerate(("train", "val")):
        for label, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for index in range(getattr(parameters, split)):
                rng = np.random.default_rng([parameters.seed, number, label, index])
                pixels = _picture(rng, name, parameters.size)
                _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
                (folder / split / name / f"{index + 1:05d}.jpg").write_bytes(encoded.tobytes())
                done += 1
                progress(done, total)
