"""The form in which a network takes its pixels."""

from __future__ import annotations

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


def _vector(values: Any) -> Vector | None:
    if not isinstance(values, list | tuple) or len(values) != 3:
        return None
    if not all(isinstance(value, int | float) for value in values):
        return None
    return float(values[0]), float(values[1]), float(values[2])


def _listed(vector: Vector) -> str:
    return "[" + ", ".join(f"{value:g}" for value in vector) + "]"
