"""A benchmark on the terminal: a table that is alive, or lines where there is no terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .estimate import in_words
from .scheduler import Job, Status
from .training import OUTPUT, last_words

_STYLES = {
    Status.WAITING: "dim",
    Status.RUNNING: "bold",
    Status.DONE: "green",
    Status.FAILED: "bold red",
    Status.SKIPPED: "red",
    Status.INTERRUPTED: "yellow",
}
# Of a terminal's lines, those that the table leaves alone.
_MARGIN = 6


class Display:
    """Shows jobs while they run.

    Args:
        console: Where.
        jobs: All of them.
        left: Seconds that all take together, as far as known; for the title.
    """

    def __init__(self, console: Console, jobs: Sequence[Job], left: float) -> None:
        self._console = console
        self._jobs = jobs
        self._end = time.monotonic() + left
        self._start = time.monotonic()
        self._live = (
            Live(console=console, get_renderable=self._table, refresh_per_second=2)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def tell(self, changed: Sequence[Job]) -> None:
        """Write down what has changed."""
        for job in changed:
            if self._live is None or job.status in (Status.FAILED, Status.SKIPPED):
                self._print(self._line(job))
            if job.status is Status.FAILED:
                words = last_words(job.run.work_dir)
                self._print(Text(words, style="dim"))
                self._print(Text(f"whole output: {job.run.work_dir / OUTPUT}"))

    def say(self, text: str) -> None:
        """Write a line."""
        self._print(Text(text))

    def _print(self, text: Text) -> None:
        self._console.print(text, highlight=False, soft_wrap=not self._console.is_terminal)

    def _line(self, job: Job) -> Text:
        number = f"[{self._jobs.index(job) + 1}/{len(self._jobs)}]"
        seconds = f" {in_words(job.attempts[-1].seconds)}" if job.attempts else ""
        took = seconds if job.status is not Status.RUNNING else ""
        note = f" ({job.note})" if job.note else ""
        words = f"{number} {job.run.task}: {job.run.title}: {job.status.value}{took}{note}"
        return Text(words, style=_STYLES[job.status] if self._console.is_terminal else "")

    def _table(self) -> Table:
        counts = Counter(job.status for job in self._jobs)
        counted = ", ".join(f"{counts[s]} {s.value}" for s in Status if counts[s])
        left = max(0.0, self._end - time.monotonic())
        about = f", about {in_words(left)} left" if left else ""
        passed = in_words(time.monotonic() - self._start)
        table = Table(title=f"{counted}; {passed} so far{about}", title_justify="left")
        for name in ("task", "model", "norm", "batch", "seed"):
            table.add_column(name, no_wrap=name != "model")
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("status", overflow="fold", min_width=12)
        shown = self._shown()
        for job in shown:
            run, training = job.run, job.training
            seconds = job.seconds + (training.seconds if training else 0)
            status = training.progress if training else job.status.value
            cells = [run.task, run.model, run.norm, run.batch_setting or "", str(run.seed)]
            cells += [in_words(seconds) if seconds else ""]
            cells += [f"{status}{f' ({job.note})' if job.note else ''}"]
            table.add_row(
                *(Text(cell) for cell in cells),
                style=_STYLES[job.status],
            )
        if len(shown) < len(self._jobs):
            table.caption = f"{len(self._jobs) - len(shown)} more"
        return table

    def _shown(self) -> list[Job]:
        """As many jobs as the terminal has lines for, those around what runs."""
        room = max(5, self._console.height - _MARGIN)
        if len(self._jobs) <= room:
            return list(self._jobs)
        active = [
            number
            for number, job in enumerate(self._jobs)
            if job.status in (Status.RUNNING, Status.WAITING)
        ]
        first = max(0, min((active or [0])[0] - 3, len(self._jobs) - room))
        return list(self._jobs[first : first + room])
