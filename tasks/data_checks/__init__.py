"""What data sets of every task check before and while they are read."""

from .image_damage import find_damage
from .problems import DatasetError, Problem, found, raise_if_any

__all__ = ["DatasetError", "Problem", "find_damage", "found", "raise_if_any"]
