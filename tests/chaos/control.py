"""What a victim tells the harness, and what the harness has it do, through a folder."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "CHAOS_CONTROL"


@dataclass(frozen=True)
class Event:
    """Something that a victim has come to.

    Attributes:
        time: Of ``time.monotonic()``, which all processes of a machine share.
        kind: ``start`` (signals are heard), ``iter`` (one begins), ``done`` (its step is made),
            ``saving``, ``saved`` (a checkpoint) or ``end`` (signals are not heard any more).
        number: Iterations that are finished then.
    """

    time: float
    kind: str
    number: int


class Control:
    """The folder.

    Args:
        folder: Made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._events = folder / "events"
        self._poison = folder / "poison"

    def tell(self, kind: str, number: int) -> None:
        """Add an event; of several ranks, the first does."""
        line = f"{time.monotonic():.6f} {kind} {number}\n"
        file = os.open(self._events, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    def events(self) -> list[Event]:
        """All events, a line that is being written left out."""
        text = self._events.read_text() if self._events.exists() else ""
        lines = [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]
        return [Event(float(when), kind, int(number)) for when, kind, number in lines]

    def enlist(self, rank: int) -> None:
        """Leave the process id of a rank."""
        scratch = self.folder / f"new_rank_{rank}"
        scratch.write_text(str(os.getpid()))
        scratch.replace(self.folder / f"rank_{rank}")

    def ranks(self) -> dict[int, int]:
        """Process ids of the ranks that have come to life last."""
        found = self.folder.glob("rank_*")
        return {int(path.name.partition("_")[2]): int(path.read_text()) for path in found}

    @property
    def poisoned(self) -> bool:
        """Whether inputs of the first rank are to be NaN."""
        return self._poison.exists()

    def poison(self, on: bool) -> None:
        """Have the inputs be NaN from now on, or no longer."""
        if on:
            self._poison.touch()
        else:
            self._poison.unlink(missing_ok=True)
