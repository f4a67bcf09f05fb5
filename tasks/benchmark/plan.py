"""A plan file: tasks, norms, batch settings, seeds and options, in YAML."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PLANS = ROOT / "configs" / "benchmark"
TASKS = ("classification", "detection", "segmentation", "face", "video")
NORMS = ("BN", "GN", "SyncBN", "SN", "SyncSN", "SSN", "SyncSSN")
TOY_DATA = ("imagenet", "coco", "ade20k", "cityscapes", "faces", "kinetics")
_BATCH_SETTING = re.compile(r"[1-9]\d*x[1-9]\d*")
_ROWS = ("published", "all")


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
class Entry:
    """One model of a task, or rows of the task's metafile.

    Attributes:
        task: A folder of `tasks/` and `configs/`.
        model: What the tables call it; None with rows.
        config: Its config, from the project's root; None with rows.
        rows: `'published'`, `'all'` or names of rows of `tasks/<task>/metafile.yml`; else None.
        norms: Types for `norm_cfg.type`; of rows, those that are taken.
        batch_settings: Such as `'8x4'`; None for what the config says.
        processes: GPUs, or CPU processes, of a run.
        options: Config keys and values of every run.
        norm_options: Further ones of the runs with a norm.
        toy_data: Generated set that it runs on.
        pretrained: Model of the plan whose runs give the weights of the backbone.
        minutes: How long a run takes, about.
        without: Rows that are not taken.
    """

    task: str
    model: str | None = None
    config: str | None = None
    rows: str | tuple[str, ...] | None = None
    norms: tuple[str, ...] = ()
    batch_settings: tuple[str | None, ...] = (None,)
    processes: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    norm_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    toy_data: str | None = None
    pretrained: str | None = None
    minutes: float | None = None
    without: tuple[str, ...] = ()


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
    """

    path: Path
    entries: tuple[Entry, ...]
    seeds: tuple[int, ...] = (0,)
    retries: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    iterations: int | None = None

    @property
    def name(self) -> str:
        """What runs are recorded under."""
        return self.path.stem


_PLAN_KEYS = {
    *("description", "tasks", "norms", "batch_settings", "seeds", "processes", "retries"),
    *("options", "data", "iterations"),
}
_ENTRY_KEYS = {
    *("model", "config", "rows", "norms", "batch_settings", "processes", "options"),
    *("norm_options", "toy_data", "pretrained", "minutes", "without"),
}


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


def read_plan(
    path: Path,
    norms: Collection[str] | None = None,
    seeds: Collection[int] | None = None,
    iterations: int | None = None,
) -> Plan:
    """Read a plan and check what it says by itself.

    Args:
        path: The file.
        norms: Replace those of the plan.
        seeds: Replace those of the plan.
        iterations: Replace those of the plan.

    Raises:
        PlanError: Every problem found.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(path, [f"cannot be read: {error}"]) from error
    except yaml.YAMLError as error:
        raise PlanError(path, [f"not YAML: {error}"]) from error
    if not isinstance(content, dict):
        raise PlanError(path, [f"holds {type(content).__name__}, not keys with values"])
    given = {"norms": norms and list(norms), "seeds": seeds and list(seeds)}
    given = {k: v for k, v in {**given, "iterations": iterations}.items() if v is not None}
    reader = _Reader({**content, **given}, norms is None, iterations is None)
    plan = reader.plan(path)
    if reader.problems:
        raise PlanError(path, reader.problems)
    return plan


class _Reader:
    """Reads a plan's content, and notes every problem with its place."""

    def __init__(self, content: dict[str, Any], own_norms: bool, own_length: bool) -> None:
        self.problems: list[str] = []
        self._content = content
        self._own_norms = own_norms
        self._own_length = own_length

    def plan(self, path: Path) -> Plan:
        content = self._content
        self._unknown(content, _PLAN_KEYS, "the plan")
        tasks = self._mapping(content, "tasks", "the plan")
        if not tasks:
            self.problems.append(f"tasks is missing or empty; tasks are {', '.join(TASKS)}")
        entries = []
        for task, models in tasks.items():
            if task not in TASKS:
                self.problems.append(f"tasks: {_not_one_of(task, TASKS)}")
                continue
            if not isinstance(models, list):
                self.problems.append(f"tasks.{task} is {models!r}; it must be a list of models")
                continue
            for number, model in enumerate(models):
                where = f"tasks.{task}[{number}]"
                if isinstance(model, dict):
                    entries.append(self._entry(task, model, where))
                else:
                    self.problems.append(f"{where} is {model!r}; it must have keys with values")
        return Plan(
            path=path,
            entries=tuple(entries),
            seeds=tuple(self._list(content, "seeds", int, "the plan") or (0,)),
            retries=self._number(content, "retries", "the plan", 1, least=0),
            options=_flat(self._mapping(content, "options", "the plan")),
            data={key: str(value) for key, value in self._mapping(content, "data", "").items()},
            iterations=self._number(content, "iterations", "the plan", None),
        )

    def _entry(self, task: str, entry: dict[str, Any], where: str) -> Entry:
        self._unknown(entry, _ENTRY_KEYS, where)
        rows = entry.get("rows")
        if rows is None and not (entry.get("model") and entry.get("config")):
            self.problems.append(f"{where} needs model and config, or rows")
        if rows is not None:
            for key in ("model", "config", "batch_settings", "pretrained", "toy_data"):
                if key in entry:
                    self.problems.append(f"{where} has rows, which say what {key} would")
            if isinstance(rows, list):
                rows = tuple(str(row) for row in rows)
            elif rows not in _ROWS:
                self.problems.append(
                    f"{where}.rows is {rows!r}; it must be {' or '.join(_ROWS)}, or a list of names"
                )
        config = entry.get("config")
        if config is not None and not (ROOT / str(config)).is_file():
            self.problems.append(f"{where}.config: {ROOT / str(config)} does not exist")
        toy = entry.get("toy_data")
        if toy is not None and toy not in TOY_DATA:
            self.problems.append(f"{where}.toy_data: {_not_one_of(toy, TOY_DATA)}")
        norm_options = self._mapping(entry, "norm_options", where)
        for norm, options in norm_options.items():
            if norm not in NORMS:
                self.problems.append(f"{where}.norm_options: {_not_one_of(norm, NORMS)}")
            if not isinstance(options, dict):
                self.problems.append(f"{where}.norm_options.{norm} must have keys with values")
        minutes = entry.get("minutes")
        if minutes is not None and not (isinstance(minutes, int | float) and minutes > 0):
            self.problems.append(f"{where}.minutes is {minutes!r}; it must be a positive number")
        return Entry(
            task=task,
            model=entry.get("model"),
            config=config,
            rows=rows,
            norms=self._norms(entry, where, needed=rows is None),
            batch_settings=self._batch_settings(entry, where) if rows is None else (None,),
            processes=self._number(
                entry, "processes", where, self._number(self._content, "processes", "the plan", 1)
            ),
            options={
                **_flat(self._mapping(self._content, "options", "the plan")),
                **_flat(self._mapping(entry, "options", where)),
            },
            norm_options={
                norm: _flat(options)
                for norm, options in norm_options.items()
                if isinstance(options, dict)
            },
            toy_data=toy,
            pretrained=entry.get("pretrained"),
            minutes=minutes if self._own_length else None,
            without=tuple(self._list(entry, "without", str, where)),
        )

    def _norms(self, entry: dict[str, Any], where: str, needed: bool) -> tuple[str, ...]:
        source = entry if self._own_norms and "norms" in entry else self._content
        place = where if source is entry else "the plan"
        norms = self._list(source, "norms", str, place)
        for norm in norms:
            if norm not in NORMS:
                self._note(f"{place}: norms: {_not_one_of(norm, NORMS)}")
        if needed and not norms:
            self.problems.append(f"{where} has no norms, nor has the plan; norms are {NORMS}")
        return tuple(norms)

    def _batch_settings(self, entry: dict[str, Any], where: str) -> tuple[str | None, ...]:
        source = entry if "batch_settings" in entry else self._content
        settings = self._list(source, "batch_settings", str, where)
        for setting in settings:
            if not _BATCH_SETTING.fullmatch(setting):
                self.problems.append(
                    f"{where}: batch_settings has {setting!r}; write GPUs x samples a GPU, as '8x4'"
                )
        return tuple(settings) or (None,)

    def _unknown(self, mapping: Mapping[str, Any], known: set[str], where: str) -> None:
        for key in mapping:
            if key not in known:
                self.problems.append(f"{where}: key {_not_one_of(key, sorted(known))}")

    def _mapping(self, mapping: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
        value = mapping.get(key) or {}
        if isinstance(value, dict):
            return value
        self._note(f"{where}: {key} is {value!r}; it must have keys with values")
        return {}

    def _list(self, mapping: Mapping[str, Any], key: str, kind: type, where: str) -> list[Any]:
        value = mapping.get(key)
        if value is None:
            return []
        value = [value] if isinstance(value, kind) else value
        if not isinstance(value, list) or not all(type(item) is kind for item in value):
            self._note(f"{where}: {key} is {value!r}; it must be a list of {kind.__name__}")
            return []
        repeated = sorted({str(item) for item in value if value.count(item) > 1})
        if repeated:
            self._note(f"{where}: {key} names {', '.join(repeated)} more than once")
        return value

    def _number(
        self, mapping: Mapping[str, Any], key: str, where: str, default: Any, least: int = 1
    ) -> Any:
        value = mapping.get(key, default)
        if value is default or (type(value) is int and value >= least):
            return value
        self._note(f"{where}: {key} is {value!r}; it must be a whole number from {least} on")
        return default

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def _not_one_of(name: Any, known: Collection[str]) -> str:
    """What is said of an unknown name."""
    by_lower = {one.lower(): one for one in known}
    close = difflib.get_close_matches(str(name).lower(), by_lower, n=1)
    hint = f"did you mean {by_lower[close[0]]!r}? Known" if close else "known"
    return f"{name!r} is unknown; {hint}: {', '.join(known)}"


def _flat(options: Mapping[Any, Any], path: str = "") -> dict[str, Any]:
    """Options with dotted keys, of ones that hold others or have dotted keys already."""
    found: dict[str, Any] = {}
    for key, value in options.items():
        place = f"{path}.{key}" if path else str(key)
        found |= _flat(value, place) if isinstance(value, dict) else {place: value}
    return found
