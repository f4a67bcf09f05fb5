"""Faces from the bytes of image files."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from normlib.image_size import why_refused
from tasks.data_checks import DatasetError, find_damage

IMAGE_SIZE = (112, 112)  # width and height of aligned and cropped faces
_JPEG_END = b"\xff\xd9"
_RGB = getattr(cv2, "IMREAD_COLOR_RGB", None)  # from OpenCV 4.11 on


class UndecodableFaceError(DatasetError):
    """The bytes of an image are damaged, or are no image."""


@TRANSFORMS.register_module()
class DecodeFace(BaseTransform):
    """Decode an image to RGB, and refuse one that is not whole or not 112 x 112.

    EXIF orientation is followed, 16 bits become 8, grey becomes RGB.

    Required keys: `content`, uint8 of shape (bytes,), and `where`, what the image is called in
    messages.

    Added keys: `img`, uint8 of shape (112, 112, 3).

    Raises:
        UndecodableFaceError: The image is damaged.
        DatasetError: The image has another size.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Decode the image of one sample."""
        where = results["where"]
        image = decode_rgb(results["content"], where)
        check_size(image, where)
        results["img"] = image
        return results


def decode_rgb(content: np.ndarray, where: str) -> np.ndarray:
    """Decode an image file.

    Args:
        content: Its bytes, uint8 of shape (bytes,).
        where: What it is called in messages.

    Returns:
        uint8 of shape (height, width, 3), red, green, blue.

    Raises:
        UndecodableFaceError: It is empty, cut off, no image, or has more pixels than
            `normlib.image_size` allows. OpenCV before 5 decodes a JPEG file that is cut off without
            an error.
    """
    # Only what does not end as JPEG files do is looked at closely, which takes a copy.
    unlike_jpeg = content[-2:].tobytes() != _JPEG_END
    if unlike_jpeg and (damage := find_damage(io.BytesIO(content.tobytes()))):
        raise UndecodableFaceError(f"{where} {damage}; fetch it again, or remove it")
    if refused := why_refused(content):
        raise UndecodableFaceError(f"{where} {refused}")
    try:
        image = cv2.imdecode(content, cv2.IMREAD_COLOR if _RGB is None else _RGB)
    except cv2.error:
        image = None
    if image is None:
        raise UndecodableFaceError(
            f"{where} is not an image that OpenCV can decode; fetch it again, or remove it"
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if _RGB is None else image


def check_size(image: np.ndarray, where: str) -> None:
    """Check that an image is 112 x 112.

    Args:
        image: Of shape (height, width, channels).
        where: What it is called in messages.

    Raises:
        DatasetError: It has another size.
    """
    size = image.shape[1::-1]
    if size != IMAGE_SIZE:
        raise DatasetError(wrong_size(where, size))


def wrong_size(where: str, size: tuple[int, ...]) -> str:
    """What is wrong with an image of another size than 112 x 112."""
    return (
        f"{where} is {size[0]} x {size[1]}, images of faces are {IMAGE_SIZE[0]} x {IMAGE_SIZE[1]}; "
        "align the faces to the five landmarks and crop them first"
    )
