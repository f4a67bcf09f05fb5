"""Checks of what determines a set."""

from __future__ import annotations


def check_least(parameters: object, **least: int) -> None:
    """Check that numbers are large enough.

    Args:
        parameters: has the numbers as attributes.
        **least: the smallest value allowed for each.

    Raises:
        ValueError: one is smaller.
    """
    for name, smallest in least.items():
        value = getattr(parameters, name)
        if value < smallest:
            raise ValueError(f"{name} is {value}; it must be at least {smallest}")
