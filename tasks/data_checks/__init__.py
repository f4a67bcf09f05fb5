"""What data sets of every task check before and while they are read."""

from .data_switch import read_switch
from .image_damage import find_damage
from .image_reading import read_image_file
from .inside import leads_out, outside
from .problems import DatasetError, Problem, found, raise_if_any

__all__ = [
    "DatasetError",
    "Problem",
    "find_damage",
    "found",
    "leads_out",
    "outside",
    "raise_if_any",
    "read_image_file",
    "read_switch",
]
