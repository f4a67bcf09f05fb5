"""One start of a training, watched until it ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import checkpoints
from tests.chaos.control import Control, Event
from tests.chaos.processes import Programs

# Between looks at a victim.
_TICK = 0.01
# For whatever a victim does, also on a busy machine.
PATIENCE = 300.0


class Missed(Exception):
    """A fault came when the training was done."""


@dataclass(frozen=True)
class Timeline:
    """How long the parts of an undisturbed training took, in seconds.

    Attributes:
        startup: Until the first iteration.
        iterations: Of each iteration, until its step was made.
        between: After each iteration, until the next began or the training ended.
        saving: The longest time for a checkpoint.
        saves: Iterations that were done when a checkpoint was written.
    """

    startup: float
    iterations: list[float]
    between: list[float]
    saving: float
    saves: list[int]

    @property
    def count(self) -> int:
        """How many iterations there are."""
        return len(self.iterations)

    @classmethod
    def of(cls, began: float, events: Sequence[Event], ended: float) -> Timeline:
        """Read it off the events of a training.

        Args:
            began: When it was started, by ``time.monotonic()``.
            events: What it told.
            ended: When it was gone.
        """
        begins = [event.time for event in events if event.kind == "iter"]
        dones = [event.time for event in events if event.kind == "done"]
        saving = [event.time for event in events if event.kind == "saving"]
        saved = [event.time for event in events if event.kind == "saved"]
        return cls(
            startup=begins[0] - began,
            iterations=[done - begin for begin, done in zip(begins, dones, strict=True)],
            between=[n - done for done, n in zip(dones, [*begins[1:], ended], strict=True)],
            saving=max(end - start for start, end in zip(saving, saved, strict=True)),
            saves=[sum(done < time for done in dones) for time in saved],
        )


@dataclass(frozen=True)
class Moment:
    """A moment of a training.

    Attributes:
        iteration: The iteration that has begun, or, if ``after``, is done; None in the start-up.
        seconds: How long before.
        after: Whether it is between two iterations.
    """

    iteration: int | None
    seconds: float
    after: bool = False

    def __str__(self) -> str:
        if self.iteration is None:
            return f"start-up + {self.seconds:.2f} s"
        where = "after" if self.after else "in"
        return f"{where} iteration {self.iteration + 1} + {self.seconds:.2f} s"


@dataclass
class Attempt:
    """A training from its start to its end.

    Args:
        command: What is started.
        environ: Its environment.
        work_dir: Of the training.
        folder: Of this attempt: its output and messages, and what it tells.
        programs: That it is one of.
        workers: Of its dataloader.
        spoiled: A checkpoint that is damaged: that ``last_checkpoint`` names it is no promise.

    Attributes:
        reported: Iterations of the newest checkpoint that ``last_checkpoint`` has named so far.
    """

    command: list[str]
    environ: dict[str, str]
    work_dir: Path
    folder: Path
    programs: Programs
    workers: int = 0
    spoiled: Path | None = None
    reported: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.control = Control(self.folder)
        self._named = self.spoiled
        self.began = time.monotonic()
        self.program = self.programs.start(
            self.command, self.environ, self.folder / "out", self.folder / "err"
        )
        self.pid = self.program.pid

    @property
    def output(self) -> str:
        """What it has written."""
        return (self.folder / "out").read_text(errors="replace") + self.messages

    @property
    def messages(self) -> str:
        """What it has written on standard error."""
        return (self.folder / "err").read_text(errors="replace")

    @property
    def starts(self) -> list[Event]:
        """The starts of its processes, of which a launcher may make more than one."""
        return [event for event in self.control.events() if event.kind == "start"]

    def events(self, kind: str) -> list[Event]:
        """Events of a kind since its processes have been started last."""
        found: list[Event] = []
        for event in self.control.events():
            if event.kind == "start":
                found = []
            if event.kind == kind:
                found.append(event)
        return found

    def watch(self, until: Callable[[], object], seconds: float = PATIENCE) -> bool:
        """Wait for something, for the end, or for a time.

        Args:
            until: Tells whether it has come.
            seconds: How long to wait.

        Returns:
            Whether it has come.
        """
        limit = time.monotonic() + seconds
        while True:
            ended = self.program.poll() is not None
            self._note_named()
            if until():
                return True
            if ended or time.monotonic() > limit:
                return False
            time.sleep(_TICK)

    def reach(self, moment: Moment) -> None:
        """Wait for a moment.

        Raises:
            Missed: It has ended before.
        """
        if moment.iteration is not None:
            kind = "done" if moment.after else "iter"
            number = moment.iteration + moment.after
            come = self.watch(lambda: any(e.number >= number for e in self.events(kind)))
            if not come:
                raise Missed
        self.watch(lambda: False, moment.seconds)
        if self.program.poll() is not None:
            raise Missed

    def send(self, number: signal.Signals, pid: int | None = None) -> None:
        """Send a signal to it, or to another process."""
        with suppress(ProcessLookupError):
            os.kill(pid or self.pid, number)

    def end(self, seconds: float = PATIENCE) -> int | None:
        """Wait for its end, and clear away what is left.

        Returns:
            Its exit code, negative after a signal; None if it had to be killed.
        """
        self.watch(lambda: self.program.poll() is not None, seconds)
        code = self.program.poll()
        self.programs.clear(self.program)
        self._note_named()
        return code

    def _note_named(self) -> None:
        named = checkpoints.named(self.work_dir)
        if named is None or named == self._named:
            return
        # It may have been replaced by the next one in the meantime.
        with suppress(Exception):
            self.reported = max(self.reported, checkpoints.iteration(named))
            self._named = named
