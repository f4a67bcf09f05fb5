"""One colour, line and mark for each norm, in every picture and table."""

from __future__ import annotations

import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class NormStyle:
    """How a norm is drawn; the colours have a contrast of 3 or more on white and on black.

    Attributes:
        colour: As CSS and matplotlib write it.
        line: Style of lines, as matplotlib writes it.
        marker: Mark of points, as matplotlib writes it.
    """

    colour: str
    line: str | tuple[int, tuple[int, ...]]
    marker: str


_STYLES = {
    "BN": NormStyle("#7a7f87", "-", "o"),
    "SyncBN": NormStyle("#7a7f87", "--", "v"),
    "GN": NormStyle("#b07800", "-", "s"),
    "LN": NormStyle("#b07800", ":", "h"),
    "IN": NormStyle("#b07800", "-.", "d"),
    "SN": NormStyle("#2178c4", "-", "^"),
    "SyncSN": NormStyle("#d0561d", "--", "D"),
    "SSN": NormStyle("#16936b", "-.", "P"),
    "SyncSSN": NormStyle("#b9569a", ":", "X"),
}
_OTHERS = tuple(NormStyle("#8a6fd1", style, "*") for style in ("-", "--", "-.", ":"))


def style_of(norm: str) -> NormStyle:
    """The style of a norm; those of other names share a colour, and lines are drawn by name."""
    known = _STYLES.get(norm)
    return known if known is not None else _OTHERS[zlib.crc32(norm.encode()) % len(_OTHERS)]
