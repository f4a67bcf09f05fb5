"""The list of objects that comes with ADE20K, `objectInfo150.txt`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

from tasks.data_checks import Problem

NAME = "objectInfo150.txt"
# Number, share, counts of training and validation images, in some versions a flag, names.
_LINE = re.compile(r"\s*(\d+)[\s,]+[\d.]+[\s,]+\d+[\s,]+\d+[\s,]+(?:[01][\s,]+)?(\S.*)")
_SYNONYMS = re.compile(r"[;,]")
_BETWEEN_WORDS = re.compile(r"[\s_-]+")


def check_object_info(path: str, classes: Sequence[str]) -> list[Problem]:
    """Compare the objects of the list with classes, in number and order.

    A class may have any of the names that the list has for its object.

    Args:
        path: The list, of lines `Idx Ratio Train Val Name` after a first line.
        classes: Names of the classes that label files tell apart.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        objects = [m[2].strip() for line in file if (m := _LINE.fullmatch(line.rstrip()))]
    if not objects:
        return [Problem(f"{path} has no line of the form 'Idx Ratio Train Val Name'")]
    for number, (names, own) in enumerate(zip_longest(objects, classes), 1):
        if names is None or own is None or _plain(own) not in map(_plain, _SYNONYMS.split(names)):
            return [
                Problem(
                    f"{path} lists {len(objects)} objects, the class list {len(classes)}; they "
                    f"first differ at number {number}: {names!r} there, {own!r} in the class list"
                )
            ]
    return []


def _plain(name: str) -> str:
    return _BETWEEN_WORDS.sub(" ", name).strip().lower()
