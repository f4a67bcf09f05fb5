"""Collects what is wrong with a data set into one readable error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_SHOWN = 3


class DatasetError(ValueError):
    """A data set cannot be used; the message names the file and the first offenders."""


@dataclass(frozen=True)
class Problem:
    """Everything of one kind that is wrong.

    Attributes:
        text: what is wrong and, where it helps, what would be right.
        offenders: one short description each; empty where `text` says it all.
    """

    text: str
    offenders: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"- {self.text}" if not self.offenders else f"- {len(self.offenders)} {self.text}"]
        lines += [f"    {offender}" for offender in self.offenders[:_SHOWN]]
        if len(self.offenders) > _SHOWN:
            lines.append(f"    and {len(self.offenders) - _SHOWN} more")
        return "\n".join(lines)


def found(text: str, offenders: Iterable[object]) -> list[Problem]:
    """One problem where there are offenders, none otherwise; the count goes before `text`."""
    offenders = tuple(map(str, offenders))
    return [Problem(text, offenders)] if offenders else []


def raise_if_any(path: str, problems: list[Problem]) -> None:
    """Raise one error for all problems of a file.

    Raises:
        DatasetError: there is at least one problem.
    """
    if problems:
        raise DatasetError("\n".join([f"{path} cannot be used:", *map(str, problems)]))
