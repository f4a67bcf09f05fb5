"""What determines a generated set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class ToyParameters:
    """What determines every byte of a set; each set has defaults of its own.

    Attributes:
        train: number of training pictures, at least 1.
        val: number of validation pictures, at least 1.
        size: of a picture in pixels, at least `least_size`.
        seed: not negative.

    Raises:
        ValueError: a number is out of range.
    """

    train: int
    val: int
    size: int
    seed: int = 0

    least_size: ClassVar[int] = 64

    def __post_init__(self) -> None:
        for name, least in {"train": 1, "val": 1, "size": self.least_size, "seed": 0}.items():
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"{name} is {value}; it must be at least {least}")

    @property
    def pictures(self) -> dict[str, int]:
        """Number of pictures of each split."""
        return {"train": self.train, "val": self.val}
