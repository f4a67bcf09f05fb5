"""Finding images by the ends of their paths.

Lists and folders name the same image from different roots, with `_` or a space between names, and,
after cropping, with another suffix. Two paths are one image where their last parts, as many as both
have, are the same but for this.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tasks.data_checks import DatasetError

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_SHOWN = 3


def find_rows(wanted: Sequence[str], source: str, names: Sequence[str], where: str) -> np.ndarray:
    """Rows of all images that are wanted.

    Args:
        wanted: Paths, each once and at least one.
        source: What lists them, for messages.
        names: Paths of the images that there are.
        where: What holds these, for messages.

    Returns:
        int64 of shape (wanted,).

    Raises:
        DatasetError: An image is missing, is wanted twice, or several have its name.
    """
    found = _find(wanted, source, names, where)
    absent = [name for name, row in zip(wanted, found, strict=True) if row is None]
    if absent:
        raise DatasetError(
            f"{source}: {len(absent):,} of {len(wanted):,} images are not in {where}, the first "
            f"are {', '.join(absent[:_SHOWN])}; there they are called like {names[0]}"
        )
    rows = np.array(found, np.int64)
    order = np.argsort(rows, kind="stable")
    for place in order[1:][np.diff(rows[order]) == 0]:
        raise DatasetError(
            f"{source}: entry {place}, {wanted[place]}, is listed before; each image counts once"
        )
    return rows


def find_some(wanted: Sequence[str], source: str, names: Sequence[str], where: str) -> np.ndarray:
    """Rows of those wanted images that there are, see :func:`find_rows`.

    Returns:
        int64 of shape (found,), ascending, each once.

    Raises:
        DatasetError: None of them is there, or several have the name of one.
    """
    found = {row for row in _find(wanted, source, names, where) if row is not None}
    if not found:
        raise DatasetError(
            f"{source}: none of its {len(wanted):,} images, such as {wanted[0]}, is in {where}, "
            f"where they are called like {names[0]}; leave the list out where this is right"
        )
    return np.array(sorted(found), np.int64)


def _find(wanted: Sequence[str], source: str, names: Sequence[str], where: str) -> list[int | None]:
    depth = min(_shortest(wanted), max(map(_parts, names), default=1))
    keys = {_key(name, depth) for name in wanted}
    rows: dict[str, int] = {}
    for row, name in enumerate(names):
        key = _key(name, depth)
        if key in keys and rows.setdefault(key, row) != row:
            raise DatasetError(
                f"{where}: rows {rows[key]} and {row}, {names[rows[key]]} and {name}, are both "
                f"what {source} calls {key}; the names there need more folders"
            )
    return [rows.get(_key(name, depth)) for name in wanted]


def _shortest(names: Iterable[str]) -> int:
    return min(map(_parts, names), default=1)


def _parts(name: str) -> int:
    return name.count("/") + 1


def _key(name: str, depth: int) -> str:
    end = "/".join(name.rsplit("/", depth)[-depth:])
    stem, dot, suffix = end.rpartition(".")
    bare = stem if f"{dot}{suffix}".lower() in _SUFFIXES else end
    return bare.replace(" ", "_")
