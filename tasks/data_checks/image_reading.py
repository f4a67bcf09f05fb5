"""Image files that are read whole, or refused."""

from __future__ import annotations

import io
from typing import Any

from mmengine import fileio

from .image_damage import find_damage
from .problems import DatasetError


def read_image_file(path: str, backend_args: dict[str, Any] | None = None) -> bytes:
    """The content of an image file.

    Args:
        path: The file.
        backend_args: Where it is read from, see mmengine's `fileio`.

    Raises:
        DatasetError: It cannot be read, or is empty or cut off.
    """
    try:
        content = fileio.get(path, backend_args=backend_args)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    if damage := find_damage(io.BytesIO(content)):
        raise DatasetError(f"{path} {damage}; fetch it again, or remove it from the data")
    return content
