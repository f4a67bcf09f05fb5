"""Image files that are read whole and are not too large to be decoded, or refused."""

from __future__ import annotations

import io
from typing import Any

from mmengine import fileio
from PIL import Image

from normlib.image_size import most_pixels, why_refused

from .image_damage import find_damage
from .problems import DatasetError

# One limit for all decoders: Pillow's own would come before one that was raised.
Image.MAX_IMAGE_PIXELS = most_pixels()


def read_image_file(path: str, backend_args: dict[str, Any] | None = None) -> bytes:
    """The content of an image file, which is safe to be decoded.

    Args:
        path: The file.
        backend_args: Where it is read from, see mmengine's `fileio`.

    Raises:
        DatasetError: It cannot be read, is empty, cut off or of an unknown format, or has more
            pixels than `normlib.image_size` allows.
    """
    try:
        content = fileio.get(path, backend_args=backend_args)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    if damage := find_damage(io.BytesIO(content)):
        raise DatasetError(f"{path} {damage}; fetch it again, or remove it from the data")
    if refused := why_refused(content):
        raise DatasetError(f"{path} {refused}")
    return content
