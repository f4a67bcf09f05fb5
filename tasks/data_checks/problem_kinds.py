"""Problems of many samples, by what is wrong rather than by where."""

from __future__ import annotations

import re
from collections.abc import Iterable

# What differs from sample to sample: quoted texts, paths and file names, numbers.
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_FILE = re.compile(r"\S*/\S*|\S+\.[A-Za-z]\w{1,4}\b")
_NUMBERS = re.compile(r"[-+]?\d[\d.,]*(\s*[x,]\s*[-+]?\d[\d.,]*)*")


def kind_of(text: str) -> str:
    """The text of a problem without the file and the values that it names."""
    for pattern, stand_in in ((_QUOTED, "TEXT"), (_FILE, "FILE"), (_NUMBERS, "N")):
        text = pattern.sub(stand_in, text)
    return text


def by_kind(texts: Iterable[str]) -> list[list[str]]:
    """Texts of one kind together, the most frequent kind first."""
    kinds: dict[str, list[str]] = {}
    for text in texts:
        kinds.setdefault(kind_of(text), []).append(text)
    return sorted(kinds.values(), key=len, reverse=True)
