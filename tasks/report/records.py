"""The records that trainings and evaluations leave in their work directories."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.report.naming import changes, task_of

FORMAT = 2
BENCHMARK_FORMAT = 1
METRICS, BENCHMARK = "metrics.json", "benchmark.json"
_MOST_BYTES = 64 << 20
_NUMBER = (int, float)


class Unreadable(ValueError):
    """A work directory cannot take part; the message says why."""


@dataclass(frozen=True)
class Record:
    """What one run says of itself.

    Attributes:
        folder: Its work directory.
        where: The same for readers: relative to the folders that are reported on.
        model: Title, where the run was part of a benchmark.
        row: Row of the task's metafile that a benchmark meant to reproduce.
        evaluated: Number of samples.
        iterations: None for an evaluation of a checkpoint.
        own_data: Options that name folders of data, where these are not what the published tables
            evaluate; :func:`tasks.report.evaluated.with_own_data` finds out.
    """

    folder: Path
    where: str
    task: str
    model: str | None
    config: str | None
    options: tuple[str, ...]
    norm: str
    batch_size: int | None
    batch_setting: str | None
    row: str | None
    seed: int | None
    generated: bool
    metrics: dict[str, Any]
    evaluated: int | None
    evaluated_at: int | None
    iterations: int | None
    max_iterations: int | None
    seconds: float | None
    memory: float
    memory_of: str
    ranks: int
    device: str
    versions: dict[str, str]
    own_data: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[str, ...]:
        """The options that change the training, and those of data of its own."""
        return (*changes(self.options), *self.own_data)

    @property
    def state(self) -> str:
        """`complete`, `evaluation` where nothing was trained, or what is missing."""
        if self.iterations is None:
            return "evaluation"
        if self.max_iterations is None or self.iterations < self.max_iterations:
            planned = "?" if self.max_iterations is None else self.max_iterations
            return f"{self.iterations} of {planned} iterations"
        if not self.metrics or self.evaluated_at is None:
            return "not evaluated"
        if self.evaluated_at != self.iterations:
            return f"evaluated at iteration {self.evaluated_at} of {self.iterations}"
        return "complete"

    @property
    def stands_alone(self) -> bool:
        """Whether it is no run of a seed: an evaluation has one too, but not its training's."""
        return self.seed is None or self.iterations is None

    @property
    def complete(self) -> bool:
        """Whether the figures are those of a finished training, or of a checkpoint."""
        return self.state in ("complete", "evaluation")


def read_record(folder: Path, where: str) -> Record:
    """Reads what lies in a work directory.

    Args:
        folder: The work directory.
        where: Its name for readers.

    Raises:
        Unreadable: There is no record, or it is foreign, damaged or of another version.
    """
    benchmark = _read_benchmark(folder)
    if not (folder / METRICS).is_file():
        raise Unreadable(f"no {METRICS}: nothing has been evaluated{_ending(benchmark)}")
    fields = _Fields(_read_json(folder / METRICS), METRICS)
    _check_format(fields)
    run = _Fields(fields.take("run", dict), f"{METRICS}, run")
    metrics = fields.take("metrics", dict)
    config = run.take("config", str, None)
    named = benchmark.get("task"), benchmark.get("model"), benchmark.get("norm")
    task = task_of(config, metrics, named[0] if isinstance(named[0], str) else None)
    if task is None:
        raise Unreadable(f"the task cannot be told from the config {config!r} and its metrics")
    if config is None and not named[1]:
        raise Unreadable("neither a config nor a benchmark says what was trained")
    norm = run.take("norm", str, None) or named[2] or "own norms"
    return Record(
        folder=folder,
        where=printable(where),
        task=task,
        model=_text(named[1]),
        config=_text(config),
        options=tuple(printable(str(option)) for option in run.take("options", list)),
        norm=printable(str(norm)),
        batch_size=run.take("batch_size", int, None),
        batch_setting=_text(benchmark.get("batch_setting")),
        row=_text(benchmark.get("row")),
        seed=run.take("seed", int, None),
        generated=run.take("generated_data", bool),
        metrics=metrics,
        evaluated=fields.take("evaluated_samples", int, None),
        evaluated_at=fields.take("evaluated_at", int, None),
        iterations=fields.take("iterations", int, None),
        max_iterations=fields.take("max_iterations", int, None),
        seconds=fields.take("seconds_per_iteration", _NUMBER, None),
        memory=float(fields.take("peak_memory_mib", _NUMBER)),
        memory_of=printable(fields.take("memory_of", str)),
        ranks=fields.take("ranks", int),
        device=printable(fields.take("device", str)),
        versions={str(k): printable(str(v)) for k, v in fields.take("versions", dict).items()},
    )


def printable(text: str) -> str:
    """A text without signs that a page, a picture or a terminal cannot show."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


class _Fields:
    """The values of an object of a JSON file, checked as they are taken."""

    def __init__(self, content: Any, place: str) -> None:
        if not isinstance(content, dict):
            raise Unreadable(f"{place} holds {type(content).__name__}, not an object: foreign")
        self.content, self.place = content, place

    def take(self, key: str, kind: type | tuple[type, ...], *absent: None) -> Any:
        """The value; with a third argument it may be null."""
        if key not in self.content:
            raise Unreadable(f"{self.place} has no {key!r}: half written or foreign")
        value = self.content[key]
        if value is None and absent:
            return None
        wrong = isinstance(value, bool) and kind is not bool
        if wrong or not isinstance(value, kind):
            raise Unreadable(f"{self.place}: {key!r} is {_shown(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise Unreadable(f"{self.place}: {key!r} is {value}")
        return value


def _check_format(fields: _Fields) -> None:
    found = fields.content.get("format")
    if found is None and {"metrics", "iterations", "versions"} <= fields.content.keys():
        raise Unreadable(f"{METRICS} is from an older version of the project (no 'format')")
    if found is None:
        raise Unreadable(f"{METRICS} has no 'format': foreign")
    if isinstance(found, int) and found > FORMAT:
        raise Unreadable(f"{METRICS} has format {found}, of a newer version; {FORMAT} is read")
    if found != FORMAT:
        raise Unreadable(f"{METRICS} has format {_shown(found)}; {FORMAT} is read")


def _read_benchmark(folder: Path) -> dict[str, Any]:
    """The benchmark's account of the run; empty where it was started in another way."""
    if not (folder / BENCHMARK).is_file():
        return {}
    fields = _Fields(_read_json(folder / BENCHMARK), BENCHMARK)
    found = fields.take("format", int)
    if found != BENCHMARK_FORMAT:
        raise Unreadable(f"{BENCHMARK} has format {found}; {BENCHMARK_FORMAT} is read")
    return fields.content


def _ending(benchmark: dict[str, Any]) -> str:
    attempts = benchmark.get("attempts")
    last = attempts[-1] if isinstance(attempts, list) and attempts else None
    code = last.get("exit_code") if isinstance(last, dict) else None
    return "" if code in (None, 0) else f"; the last attempt ended with exit code {code}"


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise Unreadable(f"{path.name} has {path.stat().st_size:,} bytes: foreign")
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"{path.name} is not whole JSON: half written or damaged") from error
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read: {error.strerror}") from error


def _text(value: Any) -> str | None:
    return None if value is None else printable(str(value))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
