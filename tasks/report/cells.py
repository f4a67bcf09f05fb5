"""Tables as text, which every form of the report shows alike."""

from __future__ import annotations

from dataclasses import dataclass

ABSENT = "–"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Heads it.
        kind: `text`, or `fixed` and `words` for what breaks into lines never or late; `number`,
            `measured`, `published` or `change`.
        brief: Whether it is also in tables for terminals.
    """

    title: str
    kind: str = "text"
    brief: bool = False

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers, which stand at the right."""
        return self.kind not in ("text", "fixed", "words")


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: What it shows.
        order: What it is sorted by, where not by its text; None comes last.
        best: Whether the figure is beyond noise above all that it is compared with.
        detail: What is shown below it, in small print.
        interval: Ends and middle of an interval to draw.
    """

    text: str
    order: float | None = None
    best: bool = False
    detail: str = ""
    interval: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Line:
    """A line of a table.

    Attributes:
        norm: What it is about.
        cells: One a column.
        marks: What restrains its figures.
        begins: Whether it is the first of those that are compared with each other.
    """

    norm: str
    cells: tuple[Cell, ...]
    marks: tuple[str, ...] = ()
    begins: bool = False


@dataclass(frozen=True)
class Table:
    """Columns and the lines below them."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


def number(value: float | None, digits: int, detail: str = "") -> Cell:
    """A cell with a number, or with a dash."""
    if value is None:
        return Cell(ABSENT)
    return Cell(f"{value:.{digits}f}", value, detail=detail)


def signed(value: float) -> str:
    """A difference with its sign."""
    return f"{value:+.2f}".replace("-", "−")
