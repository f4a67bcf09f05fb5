"""Paths that annotations name: they stay in the folder that they are relative to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .problems import Problem, found

_RIGHT = "write paths below it, with / between folders, without a leading / or ~, .. or \\"
_OUTSIDE = re.compile(r"[/~]|.*[\\\0]|(?:.*/)?\.\.(?:/|\Z)", re.DOTALL)
# What none of many paths has if all are inside, looked for in all of them at once.
_SUSPECTS = ("\n/", "\n~", "..", "\\", "\0")


def leads_out(path: object) -> bool:
    """Whether a path is none below a folder: absolute, with `..`, `\\`, a zero byte or a first `~`.

    Told by the text alone: symbolic links in the folder are the user's own.
    """
    return not isinstance(path, str) or _OUTSIDE.match(path) is not None


def outside(
    paths: Sequence[object], places: Iterable[object], kind: str = "paths"
) -> list[Problem]:
    """The problem of those paths that lead out, if there are any.

    A million take half a second.

    Args:
        paths: As annotations have them.
        places: Where each is, such as "line 7", as many as paths.
        kind: What they are called.
    """
    if all(isinstance(path, str) for path in paths):
        text = "\n" + "\n".join(paths)
        if not any(suspect in text for suspect in _SUSPECTS):
            return []
    wrong = (f"{at}: {path!r}" for at, path in zip(places, paths, strict=True) if leads_out(path))
    return found(f"{kind} lead out of the folder that they are relative to; {_RIGHT}", wrong)
