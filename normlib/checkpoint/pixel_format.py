"""The form in which a network takes its pixels, and the form that known weights expect."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class PixelFormat:
    """What a network is fed: pixels of 0 to 255, minus ``mean``, divided by ``std``.

    Attributes:
        order: ``'RGB'`` or ``'BGR'``.
        mean: By channel, in that order.
        std: By channel, in that order.
    """

    order: str
    mean: Vector
    std: Vector

    def __str__(self) -> str:
        divided = "" if set(self.std) == {1.0} else f", divided by {_listed(self.std)}"
        return f"{self.order} minus {_listed(self.mean)}{divided}"

    @classmethod
    def from_record(cls, record: Any) -> PixelFormat | None:
        """The format that ``dataclasses.asdict`` has written down; None for anything else."""
        if not isinstance(record, Mapping) or record.get("order") not in ("RGB", "BGR"):
            return None
        mean, std = _vector(record.get("mean")), _vector(record.get("std"))
        return cls(record["order"], mean, std) if mean and std else None


RGB_STD = PixelFormat("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
# What the authors of SN feed their segmentation models.
BGR_MEAN = PixelFormat("BGR", (102.9801, 115.9465, 122.7717), (1.0, 1.0, 1.0))
DETECTRON_BGR = PixelFormat("BGR", (103.53, 116.28, 123.675), (1.0, 1.0, 1.0))
FACE_RGB = PixelFormat("RGB", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))

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
    # Imported late: the released files say their formats in the terms above.
    from normlib.checkpoint.released_files import by_path

    if (file := by_path(source)) is not None:
        return file.pixels
    return next((pixels for name, pixels in _ZOO.items() if re.fullmatch(name, source)), None)


def _vector(values: Any) -> Vector | None:
    if not isinstance(values, list | tuple) or len(values) != 3:
        return None
    if not all(isinstance(value, int | float) for value in values):
        return None
    return float(values[0]), float(values[1]), float(values[2])


def _listed(vector: Vector) -> str:
    return "[" + ", ".join(f"{value:g}" for value in vector) + "]"
