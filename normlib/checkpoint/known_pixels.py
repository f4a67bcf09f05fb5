"""The pixels that well-known weights expect."""

from __future__ import annotations

import re

from normlib.checkpoint.pixel_format import DETECTRON_BGR, RGB_STD, PixelFormat
from normlib.checkpoint.released_files import by_path

_ZOO = {
    r"torchvision://.+": RGB_STD,
    r"open-mmlab://resnet(18|50|101)_v1c": RGB_STD,
    r"open-mmlab://detectron/.+": DETECTRON_BGR,
    r"open-mmlab://detectron2/resnet\d+_caffe": DETECTRON_BGR,
}


def pixels_of(source: str) -> PixelFormat | None:
    """The pixels that a checkpoint expects, as far as its name tells.

    Args:
        source: A model zoo name, or a path that ends as the path of a released file does.

    Returns:
        The format; None where the name is not known.
    """
    if (file := by_path(source)) is not None:
        return file.pixels
    return next((pixels for name, pixels in _ZOO.items() if re.fullmatch(name, source)), None)
