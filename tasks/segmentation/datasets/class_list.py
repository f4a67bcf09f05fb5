"""The names of classes in a text file, one a line."""

from __future__ import annotations

from collections import Counter

from tasks.data_checks import DatasetError

from .label_values import MOST_CLASSES


def read_class_list(path: str) -> tuple[str, ...]:
    """Read the names; empty lines are skipped.

    Raises:
        DatasetError: The file cannot be read, is empty, has a name twice, or more names than labels
            can tell apart.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            names = tuple(line.strip() for line in file if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"the list of classes {path} cannot be read: {error}") from error
    if not names:
        raise DatasetError(f"{path} names no classes; write a line for each")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DatasetError(f"{path} names {twice[:5]} more than once")
    if len(names) > MOST_CLASSES:
        raise DatasetError(
            f"{path} names {len(names)} classes; labels of 8 bits tell {MOST_CLASSES} apart at most"
        )
    return names
