"""Checks of what configs give to transforms."""

from __future__ import annotations

from typing import Any


def whole_number(owner: str, name: str, value: Any, least: int = 1) -> int:
    """An argument that counts something.

    Args:
        owner: The transform, for the message.
        name: The argument.
        value: What the config gives.
        least: The lowest that is allowed.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{owner} has {name}={value!r}; it is a whole number from {least} on")
    return value


def height_and_width(owner: str, name: str, value: Any) -> tuple[int, int]:
    """A size in pixels, given as one side of a square or as height and width.

    Args:
        owner: The transform, for the message.
        name: The argument.
        value: What the config gives.

    Raises:
        ValueError: It is something else.
    """
    sides = tuple(value) if isinstance(value, (list, tuple)) else (value, value)
    if len(sides) != 2 or not all(type(side) is int and side >= 1 for side in sides):
        raise ValueError(
            f"{owner} has {name}={value!r}; it is the side of a square in pixels, or (height, "
            "width)"
        )
    return sides


def number_range(owner: str, name: str, value: Any) -> tuple[float, float]:
    """Two positive numbers, the lower one first.

    Args:
        owner: The transform, for the message.
        name: The argument.
        value: What the config gives.

    Raises:
        ValueError: It is something else.
    """
    ends = tuple(value) if isinstance(value, (list, tuple)) else ()
    numbers = all(isinstance(end, (int, float)) for end in ends)
    if len(ends) != 2 or not numbers or not 0 < ends[0] <= ends[1]:
        raise ValueError(f"{owner} has {name}={value!r}; it is (low, high), both above 0")
    return ends
