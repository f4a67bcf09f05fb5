"""One training of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Before the config keys and values of a command.
OPTIONS = "--cfg-options"


@dataclass(frozen=True, eq=False)
class Run:
    """A model, a norm and a seed: its config, its options, and where its record goes.

    Attributes:
        task: A folder of `tasks/`.
        model: What the tables call it.
        norm: Its norm, in words.
        seed: Of all random streams.
        config: The config, from the project's root.
        options: Config keys and values beyond the config.
        processes: GPUs, or CPU processes.
        work_dir: Its work directory.
        batch_setting: Such as `'8x4'`; None for what the config says.
        row: Row of the task's metafile that it reproduces, if it does one.
        needs: Runs whose weights it starts from.
        minutes: How long it takes, about.
    """

    task: str
    model: str
    norm: str
    seed: int
    config: str
    options: Mapping[str, Any]
    processes: int
    work_dir: Path
    batch_setting: str | None = None
    row: str | None = None
    needs: tuple[Run, ...] = field(default=(), repr=False)
    minutes: float | None = None

    @property
    def title(self) -> str:
        """Its name in lists."""
        words = [self.row or f"{self.model}, {self.norm}", self.batch_setting, f"seed {self.seed}"]
        return ", ".join(word for word in words if word)

    @property
    def command(self) -> list[str]:
        """The command line that a user would type for it, in the project's root."""
        return [
            *("tools/dist_train.sh", self.config, str(self.processes)),
            *("--work-dir", str(self.work_dir), "--resume", OPTIONS),
            *(f"{key}={_written(value)}" for key, value in self.options.items()),
        ]


def _written(value: Any) -> str:
    """A value as `--cfg-options` reads it."""
    if isinstance(value, list | tuple):
        return f"[{','.join(_written(item) for item in value)}]"
    return str(value)
