"""Encoded images in one piece of memory, which the workers of a loader share."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from normlib.image_size import why_refused
from tasks.data_checks import DatasetError, find_damage
from tasks.data_checks.image_header import read_header
from tasks.face.transforms.decoding import IMAGE_SIZE, wrong_size

from .verification_bin import VerificationBin, read_bin


class EncodedImages:
    """Encoded images, one after the other.

    Args:
        images: Their bytes.
    """

    def __init__(self, images: Sequence[bytes]) -> None:
        self._ends = np.cumsum([len(image) for image in images], dtype=np.int64)
        self._bytes = np.frombuffer(b"".join(images), np.uint8)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> np.ndarray:
        """The bytes of an image, a view, uint8 of shape (bytes,)."""
        begin = self._ends[number - 1] if number else 0
        return self._bytes[begin : self._ends[number]]


def read_checked_bin(path: str) -> VerificationBin:
    """Read a verification set whose images are whole and 112 x 112, as far as their headers tell.

    Raises:
        DatasetError: See `read_bin`; or an image is damaged or has another size.
    """
    read = read_bin(path)
    for number, image in enumerate(read.images):
        where = f"{path}: image {number}"
        file = io.BytesIO(image)
        if damage := find_damage(file):
            raise DatasetError(f"{where} {damage}; fetch the file again")
        if refused := why_refused(image):
            raise DatasetError(f"{where} {refused}")
        try:
            header = read_header(file)
        except (OSError, ValueError, SyntaxError) as error:
            raise DatasetError(f"{where} is not an image: {error}; fetch the file again") from error
        if (header.width, header.height) != IMAGE_SIZE:
            raise DatasetError(wrong_size(where, (header.width, header.height)))
    return read
