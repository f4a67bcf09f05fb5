"""From a plan file to a plan, and everything that is wrong with the file by itself."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from .plan import NORMS, ROOT, TASKS, TOY_DATA, Entry, Plan, PlanError, Source

_BATCH_SETTING = re.compile(r"[1-9]\d*x[1-9]\d*")
_ROWS = ("published", "all")
_PLAN_KEYS = {
    *("description", "tasks", "norms", "batch_settings", "seeds", "processes", "retries"),
    *("options", "data", "iterations"),
}
_ENTRY_KEYS = {
    *("model", "config", "rows", "norms", "batch_settings", "processes", "options"),
    *("norm_options", "toy_data", "pretrained", "minutes", "without"),
}
_SOURCE_KEYS = ("model", "task", "batch_setting")


def read_plan(
    path: Path,
    norms: Collection[str] | None = None,
    seeds: Collection[int] | None = None,
    iterations: int | None = None,
) -> Plan:
    """Read a plan, as far as it can be understood.

    Args:
        path: The file.
        norms: Replace those of the plan.
        seeds: Replace those of the plan.
        iterations: Replace those of the plan.

    Returns:
        The plan, which has its problems; `expand` raises them with those that it finds.

    Raises:
        PlanError: It is no plan at all.
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
    return _Reader({**content, **given}, norms is None, iterations is None).plan(path)


class _Reader:
    """Reads a plan's content, and notes every problem with its place."""

    def __init__(self, content: dict[str, Any], own_norms: bool, own_length: bool) -> None:
        self._problems: list[str] = []
        self._content = content
        self._own_norms = own_norms
        self._own_length = own_length

    def plan(self, path: Path) -> Plan:
        content, where = self._content, "the plan"
        self._unknown(content, _PLAN_KEYS, where)
        tasks = self._mapping(content, "tasks", where)
        if not tasks:
            self._note(f"tasks is missing or empty; tasks are {', '.join(TASKS)}")
        before = len(self._problems)
        # What entries have where they say nothing else.
        self._norms_of_all = self._norms(content, where)
        self._settings_of_all = self._batch_settings(content, where)
        self._processes_of_all = self._number(content, "processes", where, 1)
        self._options_of_all = _flat(self._mapping(content, "options", where))
        seeds = tuple(self._list(content, "seeds", int, where) or (0,))
        retries = self._number(content, "retries", where, 1, least=0)
        iterations = self._number(content, "iterations", where, None)
        data = self._mapping(content, "data", where)
        sound = len(self._problems) == before
        entries = [
            entry
            for task, models in tasks.items()
            for entry in self._entries(str(task), models, sound)
        ]
        return Plan(
            path=path,
            entries=tuple(entries),
            seeds=seeds,
            retries=retries,
            options=self._options_of_all,
            data={str(key): str(value) for key, value in data.items()},
            iterations=iterations,
            problems=tuple(self._problems),
        )

    def _entries(self, task: str, models: Any, sound: bool) -> list[Entry]:
        if task not in TASKS:
            self._note(f"tasks: {_not_one_of(task, TASKS)}")
            sound = False
        if not isinstance(models, list):
            self._note(f"tasks.{task} is {models!r}; it must be a list of models")
            return [Entry(task, sound=False)]
        return [
            self._entry(task, model, f"tasks.{task}[{number}]", sound)
            for number, model in enumerate(models)
        ]

    def _entry(self, task: str, entry: Any, where: str, sound: bool) -> Entry:
        if not isinstance(entry, dict):
            self._note(f"{where} is {entry!r}; it must have keys with values")
            return Entry(task, sound=False)
        before = len(self._problems)
        self._unknown(entry, _ENTRY_KEYS, where)
        rows = self._rows(entry, where)
        if rows is None and not (entry.get("model") and entry.get("config")):
            self._note(f"{where} needs model and config, or rows")
        config = self._text(entry, "config", where)
        if config is not None and not (ROOT / config).is_file():
            self._note(f"{where}.config: {ROOT / config} does not exist")
            config = None
        toy = self._text(entry, "toy_data", where)
        if toy is not None and toy not in TOY_DATA:
            self._note(f"{where}.toy_data: {_not_one_of(toy, TOY_DATA)}")
        own = self._own_norms and "norms" in entry
        norms = self._norms(entry, where) if own else self._norms_of_all
        if rows is None and norms is None:
            self._note(f"{where} has no norms, nor has the plan; norms are {', '.join(NORMS)}")
        own = "batch_settings" in entry
        settings = self._batch_settings(entry, where) if own else self._settings_of_all
        minutes = entry.get("minutes")
        if minutes is not None and not (isinstance(minutes, int | float) and minutes > 0):
            self._note(f"{where}.minutes is {minutes!r}; it must be a positive number")
        return Entry(
            task=task,
            model=self._text(entry, "model", where),
            config=config,
            rows=rows,
            norms=norms,
            batch_settings=settings if rows is None else (None,),
            processes=self._number(entry, "processes", where, self._processes_of_all),
            options={**self._options_of_all, **_flat(self._mapping(entry, "options", where))},
            norm_options=self._norm_options(entry, where),
            toy_data=toy,
            pretrained=self._source(entry, where) if rows is None else None,
            minutes=minutes if self._own_length else None,
            without=tuple(self._list(entry, "without", str, where)),
            sound=sound and len(self._problems) == before,
        )

    def _rows(self, entry: dict[str, Any], where: str) -> str | tuple[str, ...] | None:
        rows = entry.get("rows")
        if rows is None:
            return None
        for key in ("model", "config", "batch_settings", "pretrained", "toy_data"):
            if key in entry:
                self._note(f"{where} has rows, which say what {key} would")
        if isinstance(rows, list):
            return tuple(str(row) for row in rows)
        if rows in _ROWS:
            return str(rows)
        self._note(f"{where}.rows is {rows!r}; it must be {' or '.join(_ROWS)}, or a list of names")
        return ()

    def _norms(self, mapping: Mapping[str, Any], where: str) -> tuple[str, ...] | None:
        """Those that there are; None where it names none."""
        if not mapping.get("norms"):
            return None
        norms = self._list(mapping, "norms", str, where)
        for norm in norms:
            if norm not in NORMS:
                self._note(f"{where}: norms: {_not_one_of(norm, NORMS)}")
        return tuple(norm for norm in norms if norm in NORMS)

    def _batch_settings(self, mapping: Mapping[str, Any], where: str) -> tuple[str | None, ...]:
        if not mapping.get("batch_settings"):
            return (None,)
        settings = self._list(mapping, "batch_settings", str, where)
        for setting in settings:
            if not _BATCH_SETTING.fullmatch(setting):
                self._note(
                    f"{where}: batch_settings has {setting!r}; write GPUs x samples a GPU, as '8x4'"
                )
        return tuple(s for s in settings if _BATCH_SETTING.fullmatch(s))

    def _norm_options(self, entry: dict[str, Any], where: str) -> dict[str, Mapping[str, Any]]:
        norm_options = self._mapping(entry, "norm_options", where)
        for norm, options in norm_options.items():
            if norm not in NORMS:
                self._note(f"{where}.norm_options: {_not_one_of(norm, NORMS)}")
            if not isinstance(options, dict):
                self._note(f"{where}.norm_options.{norm} must have keys with values")
        return {
            norm: _flat(options)
            for norm, options in norm_options.items()
            if isinstance(options, dict)
        }

    def _source(self, entry: dict[str, Any], where: str) -> Source | None:
        value = entry.get("pretrained")
        if not isinstance(value, dict):
            model = self._text(entry, "pretrained", where)
            return Source(model) if model else None
        where = f"{where}.pretrained"
        self._unknown(value, _SOURCE_KEYS, where)
        if value.get("model") is None:
            self._note(f"{where} needs model")
            return None
        model, task, setting = (self._text(value, key, where) for key in _SOURCE_KEYS)
        return Source(model, task, setting) if model else None

    def _unknown(self, mapping: Mapping[str, Any], known: Collection[str], where: str) -> None:
        for key in mapping:
            if key not in known:
                self._note(f"{where}: key {_not_one_of(key, sorted(known))}")

    def _text(self, mapping: Mapping[str, Any], key: str, where: str) -> str | None:
        value = mapping.get(key)
        if isinstance(value, dict | list):
            self._note(f"{where}.{key} is {value!r}; it must be one word or name")
            return None
        return None if value is None else str(value)

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
        return list(dict.fromkeys(value))

    def _number(
        self, mapping: Mapping[str, Any], key: str, where: str, default: Any, least: int = 1
    ) -> Any:
        value = mapping.get(key, default)
        if value is default or (type(value) is int and value >= least):
            return value
        self._note(f"{where}: {key} is {value!r}; it must be a whole number from {least} on")
        return default

    def _note(self, problem: str) -> None:
        if problem not in self._problems:
            self._problems.append(problem)


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
