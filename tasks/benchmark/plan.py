"""A plan file: tasks, norms, batch settings, seeds and options, in YAML."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PLANS = ROOT / "configs" / "benchmark"
TASKS = ("classification", "detection", "segmentation", "face", "video")
NORMS = ("BN", "GN", "SyncBN", "SN", "SyncSN", "SSN", "SyncSSN")
TOY_DATA = ("imagenet", "coco", "ade20k", "cityscapes", "faces", "kinetics")


class PlanError(ValueError):
    """What is wrong with a plan, every problem of it.

    Attributes:
        problems: One line each.
    """

    def __init__(self, plan: str | Path, problems: Collection[str]) -> None:
        self.problems = list(problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        count = len(self.problems)
        super().__init__(f"{plan}: {count} problem{'s' if count > 1 else ''}{lines}")


@dataclass(frozen=True)
class Source:
    """The model of the plan whose runs give another the weights of its backbone.

    Attributes:
        model: What the tables call it.
        task: Where several tasks have a model of that name; else None.
        batch_setting: Where the plan trains it with several; else None.
    """

    model: str
    task: str | None = None
    batch_setting: str | None = None

    def __str__(self) -> str:
        words = [self.task and f"{self.task}:", self.model, self.batch_setting]
        return " ".join(word for word in words if word)


@dataclass(frozen=True)
class Entry:
    """One model of a task, or rows of the task's metafile.

    Attributes:
        task: A folder of `tasks/` and `configs/`.
        model: What the tables call it; None with rows.
        config: Its config, from the project's root; None with rows, or where it is not there.
        rows: `'published'`, `'all'` or names of rows of `tasks/<task>/metafile.yml`; else None.
        norms: Types for `norm_cfg.type`; of rows, those that are taken, and None for all.
        batch_settings: Such as `'8x4'`; None for what the config says.
        processes: GPUs, or CPU processes, of a run.
        options: Config keys and values of every run.
        norm_options: Further ones of the runs with a norm.
        toy_data: Generated set that it runs on.
        pretrained: What gives the weights of the backbone.
        minutes: How long a run takes, about.
        without: Rows that are not taken.
        sound: Whether the plan says nothing about it that is wrong by itself.
    """

    task: str
    model: str | None = None
    config: str | None = None
    rows: str | tuple[str, ...] | None = None
    norms: tuple[str, ...] | None = None
    batch_settings: tuple[str | None, ...] = (None,)
    processes: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    norm_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    toy_data: str | None = None
    pretrained: Source | None = None
    minutes: float | None = None
    without: tuple[str, ...] = ()
    sound: bool = True


@dataclass(frozen=True)
class Plan:
    """What a plan file says.

    Attributes:
        path: The file.
        entries: In the order of the file.
        seeds: Every run is done with each.
        retries: How often a run that has failed is tried again.
        options: Config keys and values of every run; those of entries have them too.
        data: Folders of data by the key of configs that takes them, such as `coco_data`.
        iterations: Length of every training; None for what the configs say.
        problems: What is wrong with the file; the rest is what could be understood of it.
    """

    path: Path
    entries: tuple[Entry, ...]
    seeds: tuple[int, ...] = (0,)
    retries: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    iterations: int | None = None
    problems: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What runs are recorded under."""
        return self.path.stem


def find_plan(name: str | Path) -> Path:
    """The file of a plan.

    Args:
        name: A path, or the name of a plan of this project, such as `'demo'`.

    Raises:
        PlanError: There is none.
    """
    path = Path(name)
    if path.is_file():
        return path
    own = PLANS / f"{name}.yaml"
    if own.is_file():
        return own
    known = ", ".join(sorted(file.stem for file in PLANS.glob("*.yaml")))
    raise PlanError(name, [f"no such file (looked for {path.absolute()}); plans here: {known}"])
