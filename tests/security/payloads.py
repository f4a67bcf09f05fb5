"""What a hostile file would do if it were run: make a file that tests look for."""

from __future__ import annotations

from pathlib import Path


class Touch:
    """Pickles into a call that makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return open, (str(self.mark), "w")


def python(mark: Path) -> str:
    """A config that makes the file when it is run."""
    return f"value = __import__('pathlib').Path({str(mark)!r}).touch()\n"
