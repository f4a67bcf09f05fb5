"""A generated set laid out as those of insightface (faces_emore).

Drawn faces of 112x112 pixels: `train.rec`, `train.idx` and `property` hold the training pictures in
records, with a header and a record for each identity, and `toy.bin` the pairs of other identities
for verification. As in LFW's file, the pairs of each tenth are first of one identity, then of two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from .face_capture import SIZE, photograph
from .face_identity import random_identity

FOLDS = 10
_JPEG_QUALITY = 95
_TRAIN, _VAL = 0, 1


@dataclass(frozen=True)
class FacesToy:
    """What determines every byte of a set of faces.

    Attributes:
        train: number of training identities, at least 2.
        val: number of validation identities, at least 2.
        images: pictures of each identity, at least 2.
        pairs: for verification, a multiple of 20, half of them of the same identity.
        seed: not negative.

    Raises:
        ValueError: a number is out of range, or there are not as many pairs.
    """

    train: int = 60
    val: int = 24
    images: int = 24
    pairs: int = 600
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"train": 2, "val": 2, "images": 2, "pairs": 20, "seed": 0}.items():
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"{name} is {value}; it must be at least {least}")
        if self.pairs % (2 * FOLDS):
            raise ValueError(f"pairs is {self.pairs}; it must be a multiple of {2 * FOLDS}")
        there = self.val * self.images * (self.images - 1) // 2
        if self.pairs // 2 > there:
            raise ValueError(
                f"pairs is {self.pairs}, half of them of the same identity; {self.val} identities "
                f"(val) with {self.images} pictures each (images) have {there} such pairs"
            )

    @property
    def pictures(self) -> dict[str, int]:
        """Number of pictures of each split."""
        return {"train": self.train * self.images, "val": self.val * self.images}


def generate(
    folder: Path, parameters: FacesToy, progress: Callable[[int, int], None] = lambda *_: None
) -> None:
    """Write the set into an empty folder.

    Args:
        folder: exists and is empty.
        parameters: the same ones give the same bytes.
        progress: called with (pictures drawn, pictures in all).

    Raises:
        OSError: a file cannot be written.
    """
    # Here, as the other sets need neither torch nor mmengine.
    from tasks.face.datasets.recordio import RecordWriter
    from tasks.face.datasets.verification_bin import write_bin

    total, done = sum(parameters.pictures.values()), 0
    images, first_identity = parameters.images, parameters.pictures["train"] + 1
    with RecordWriter(folder / "train.rec", folder / "train.idx") as records:
        records.write(0, (first_identity, first_identity + parameters.train), b"")
        for number, picture in enumerate(_pictures(parameters, _TRAIN, parameters.train)):
            records.write(number + 1, (number // images, 1), picture)
            done += 1
            progress(done, total)
        for identity in range(parameters.train):
            first = 1 + identity * images
            records.write(first_identity + identity, (first, first + images), b"")
    (folder / "property").write_text(f"{parameters.train},{SIZE},{SIZE}\n")

    drawn = []
    for picture in _pictures(parameters, _VAL, parameters.val):
        drawn.append(picture)
        done += 1
        progress(done, total)
    pairs, same = _pairs(parameters)
    write_bin(folder / "toy.bin", [drawn[index] for index in pairs.ravel()], same)


def _pictures(parameters: FacesToy, split: int, identities: int) -> Iterator[bytes]:
    """The encoded pictures of a split, identity by identity."""
    for number in range(identities):
        person = random_identity(np.random.default_rng([parameters.seed, split, number]))
        for index in range(parameters.images):
            rng = np.random.default_rng([parameters.seed, split, number, index])
            options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            _, encoded = cv2.imencode(".jpg", photograph(rng, person), options)
            yield encoded.tobytes()


def _pairs(parameters: FacesToy) -> tuple[np.ndarray, list[bool]]:
    """Distinct pairs of validation pictures, of shape (pairs, 2), and which are of one identity."""
    rng = np.random.default_rng([parameters.seed, 2])
    images, half = parameters.images, parameters.pairs // 2
    within = np.array(list(combinations(range(images), 2)))
    one = rng.choice(parameters.val * len(within), half, replace=False)
    alike = within[one % len(within)] + images * (one // len(within))[:, None]
    others = np.array(list(combinations(range(parameters.val), 2)))
    two = rng.choice(len(others) * images**2, half, replace=False)
    place = np.stack([two // images % images, two % images], axis=1)
    unlike = images * others[two // images**2] + place
    pairs = np.stack([alike, unlike]).reshape(2, FOLDS, -1, 2).swapaxes(0, 1)
    each = half // FOLDS
    return pairs.reshape(-1, 2), ([True] * each + [False] * each) * FOLDS
