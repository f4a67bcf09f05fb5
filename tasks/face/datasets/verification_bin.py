"""Verification sets in one file, `.bin`: encoded images and which pairs show one person.

The form of LFW, CFP-FP, AgeDB-30 and others with MS1MV2 and its relatives: a pickled pair of lists,
the images, two for a pair, and for every pair whether both show the same person.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from normlib.checkpoint.saving import replacing
from tasks.data_checks import DatasetError

from .plain_pickle import PickleError, read_plain_pickle

_FORM = "a .bin file is a pickled pair of lists: encoded images, two for a pair, and truth values"


class VerificationBin(NamedTuple):
    """A verification set.

    Attributes:
        images: Encoded images; those at 2i and 2i + 1 are pair i.
        same: Whether a pair shows one person, bool of shape (pairs,).
    """

    images: list[bytes]
    same: np.ndarray


def read_bin(path: str | os.PathLike) -> VerificationBin:
    """Read a verification set. Its pickle is taken apart without running what it may contain.

    The images are not decoded.

    Raises:
        DatasetError: The file is missing, cut off, contains code, or is not of its form.
    """
    name = os.fspath(path)
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DatasetError(f"{name} cannot be read: {error}") from error
    try:
        read = read_plain_pickle(content)
    except PickleError as error:
        raise DatasetError(f"{name} {error}") from error
    if not isinstance(read, (tuple, list)) or len(read) != 2:
        raise DatasetError(f"{name} holds {_described(read)}; {_FORM}")
    for part in read:
        if not isinstance(part, (tuple, list, np.ndarray)):
            raise DatasetError(f"{name} holds {_described(part)} in place of a list; {_FORM}")
    images = [_encoded(name, number, image) for number, image in enumerate(read[0])]
    same = np.array([_truth(name, number, value) for number, value in enumerate(read[1])], bool)
    _check_counts(name, len(images), len(same))
    return VerificationBin(images, same)


def write_bin(path: str | os.PathLike, images: Sequence[bytes], same: Sequence[bool]) -> None:
    """Write a verification set, whole or not at all.

    Args:
        path: Replaced where it exists.
        images: Encoded images, two for a pair, one after the other.
        same: For every pair whether both show the same person.

    Raises:
        DatasetError: The numbers of images and pairs do not agree.
        OSError: The file cannot be written.
    """
    _check_counts(os.fspath(path), len(images), len(same))
    lists = [bytes(image) for image in images], [bool(value) for value in same]
    with replacing(Path(path)) as scratch:
        scratch.write_bytes(pickle.dumps(lists, protocol=4))


def _check_counts(name: str, images: int, pairs: int) -> None:
    if images % 2:
        raise DatasetError(f"{name} has an odd number of images, {images}; two make a pair")
    if images != 2 * pairs:
        raise DatasetError(
            f"{name} has {images} images, which are {images // 2} pairs, but truth values for "
            f"{pairs}"
        )
    if not images:
        raise DatasetError(f"{name} has no images")


def _encoded(name: str, number: int, image: Any) -> bytes:
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 1:
        image = image.tobytes()
    if isinstance(image, str):  # bytes of Python 2, loaded as latin-1 and saved by Python 3
        try:
            image = image.encode("latin-1")
        except UnicodeEncodeError as error:
            raise DatasetError(f"{name}: image {number} is a text, not an image") from error
    if not isinstance(image, (bytes, bytearray)):
        raise DatasetError(
            f"{name}: image {number} is {_described(image)}, not the bytes of an image file"
        )
    if not image:
        raise DatasetError(f"{name}: image {number} is empty")
    return bytes(image)


def _truth(name: str, number: int, value: Any) -> bool:
    if not isinstance(value, (bool, int, np.bool_, np.integer)) or value not in (0, 1):
        raise DatasetError(
            f"{name}: whether pair {number} shows one person is {_described(value)}, not 0 or 1"
        )
    return bool(value)


def _described(value: Any) -> str:
    """A value in a few words; its content may be large, or contain itself."""
    if isinstance(value, (int, float)) and abs(value) < 1e9:
        return str(value)
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} and shape {value.shape}"
    size = f" of {len(value)} entries" if isinstance(value, (tuple, list)) else ""
    return f"something of the type {type(value).__name__}{size}"
