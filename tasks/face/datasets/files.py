"""Bytes of image files."""

from __future__ import annotations

import numpy as np

from tasks.data_checks import DatasetError


def read_bytes(path: str) -> np.ndarray:
    """The content of a file, uint8 of shape (bytes,).

    Raises:
        DatasetError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return np.frombuffer(file.read(), np.uint8)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
