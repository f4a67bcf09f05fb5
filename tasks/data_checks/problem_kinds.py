"""Problems of many samples, by what is wrong rather than by where."""

from __future__ import annotations

import re
from collections.abc import Iterable

# What differs from sample to sample: quoted texts, paths and file names, numbers.
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_FILE = re.compile(r"\S*/\S*|\S+\.[A-Za-z]\w{1,4}\b")
_NUMBER = r"[-+]?\d+(?:[.,]\d+)*"
_NUMBERS = re.compile(rf"{_NUMBER}(?:\s*[x,]\s*{_NUMBER})*(?:, \.\.\.)?")
_SEVERAL = re.compile(r"\bvalues N\b")


def kind_of(text: str) -> str:
    """The text of a problem without the file and the values that it names.

    What comes after a semicolon, such as advice, is left out.
    """
    stand_ins = ((_QUOTED, "TEXT"), (_FILE, "FILE"), (_NUMBERS, "N"), (_SEVERAL, "value N"))
    for pattern, stand_in in stand_ins:
        text = pattern.sub(stand_in, text)
    return text.partition(";")[0]


def by_kind(texts: Iterable[str]) -> list[list[str]]:
    """Texts of one kind together, the most frequent kind first."""
    kinds: dict[str, list[str]] = {}
    for text in texts:
        kinds.setdefault(kind_of(text), []).append(text)
    return sorted(kinds.values(), key=len, reverse=True)
