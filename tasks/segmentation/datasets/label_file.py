"""Label files: images whose pixels are class numbers."""

from __future__ import annotations

import io
from typing import Any

import mmcv
import numpy as np
from PIL import Image

from tasks.data_checks import DatasetError, read_image_file
from tasks.data_checks.image_header import ImageHeader, read_header

FORM = "one channel of 8 bits or a palette, each pixel the number of its class"
_UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def read_label(
    path: str, backend_args: dict[str, Any] | None = None, backend: str = "pillow"
) -> np.ndarray:
    """Read the values of a label file.

    Args:
        path: The file.
        backend_args: Where it is read from, see mmengine's `fileio`.
        backend: Decoder, as for `mmcv.imfrombytes`.

    Returns:
        uint8 of shape (height, width), values as stored.

    Raises:
        DatasetError: It cannot be read or decoded, or has another form than a label.
    """
    content = read_image_file(path, backend_args)
    try:
        form = wrong_form(read_header(io.BytesIO(content)))
        label = None if form else mmcv.imfrombytes(content, flag="unchanged", backend=backend)
    except Image.UnidentifiedImageError as error:
        raise DatasetError(f"{path} is not an image, or one that is badly damaged") from error
    except _UNREADABLE as error:
        raise DatasetError(f"{path} cannot be decoded: {error}") from error
    if form:
        raise DatasetError(f"{path} {form}; a label is a PNG file with {FORM}")
    if label is None:
        raise DatasetError(f"{path} is not an image that {backend} can decode")
    if label.ndim != 2 or label.dtype.itemsize > 1:
        raise DatasetError(
            f"{path} becomes pixels of shape {label.shape[2:]} and type {label.dtype} when "
            f"{backend} decodes it; imdecode_backend='pillow' leaves palettes as they are"
        )
    return label.astype(np.uint8, copy=False)


def wrong_form(header: ImageHeader) -> str | None:
    """What is wrong with the form of a label file, such as "is a PNG file with RGB pixels"."""
    if header.kind == "JPEG":
        return "is a JPEG file, which mixes the numbers of neighbouring pixels"
    return None if header.single else f"is a {header.kind} file with {header.pixels} pixels"


def size_difference(path: str, label: tuple[int, ...], image: tuple[int, ...]) -> str | None:
    """What is wrong with a label of another size than its image; None where nothing is.

    Args:
        path: The label file.
        label: Its (height, width).
        image: (height, width) of the image.
    """
    if label == image:
        return None
    return f"{path} is {label[1]} x {label[0]}, its image {image[1]} x {image[0]}"
