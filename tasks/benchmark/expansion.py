"""From a plan to its runs, once everything that they need has been looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.results import MetafileError, Model

from .configs import ConfigFacts
from .data_folders import DataFolders
from .devices import Devices
from .initial_weights import OTHER_RUN, initial_weights, missing_weights, unfit_weights
from .option_keys import why_unknown
from .plan import ROOT, TASKS, Entry, Plan, PlanError
from .record import foreign_folders
from .rows import choose_rows, norm_in_words, options_of, processes_of
from .run import Run
from .sources import Sources
from .weights import WEIGHTS

# Options that the length of a training in iterations takes the place of.
_LENGTH = ("train_cfg.max_epochs", "train_cfg.max_iters", "train_cfg.val_interval")


def expand(
    plan: Plan, out: Path, needs_data: bool = True, devices: Devices | None = None
) -> list[Run]:
    """The runs of a plan, in an order in which each comes after those that it needs.

    Runs on generated data take no more processes than there are GPUs, where there are any.

    Args:
        plan: The plan.
        out: Absolute path of the folder of all work directories and generated data.
        needs_data: Whether data, weights and GPUs that are not there are a problem.
        devices: Where the runs are to start; None where that is for others to decide.

    Raises:
        PlanError: Every problem found, with those of the plan itself: configs that cannot be read
            or lack what the plan changes, options that say nothing to any config that they are for,
            rows or models that do not exist, data and weights that are not there, weights of
            another norm, work directories that two runs share or that hold something else, too few
            GPUs.
    """
    expansion = _Expansion(plan, out, needs_data, devices)
    runs = expansion.runs()
    if expansion.problems:
        raise PlanError(plan.path, expansion.problems)
    return runs


class _Expansion:
    def __init__(self, plan: Plan, out: Path, needs_data: bool, devices: Devices | None) -> None:
        self.problems = list(plan.problems)
        self._needs_data = needs_data
        self._devices = devices
        self._plan = plan
        self._out = out
        self._sources = Sources(plan, self._note)
        self._data = DataFolders(plan, out, needs_data, self._note)
        self._facts: dict[str, ConfigFacts | None] = {}
        self._runs: dict[tuple[str, str, int], Run] = {}
        # Those that share a work directory too, and whether their entries are sound.
        self._added: list[tuple[Run, bool]] = []
        # By place in the plan and key: None, or what is wrong with it.
        self._options: dict[tuple[str, str], str | None] = {}

    def runs(self) -> list[Run]:
        # Those that others start from come first.
        for entry in sorted(self._plan.entries, key=self._sources.depth):
            if entry.rows is None:
                self._expand_model(entry)
            else:
                self._expand_rows(entry)
        self._data.look_at_given(self._switches())
        for (place, _), why in self._options.items():
            if why is not None:
                self._note(f"{place}: {why}")
        runs = [run for run, _ in self._added]
        configs = {path: facts.content for path, facts in self._facts.items() if facts is not None}
        problems = unfit_weights(runs, configs)
        if self._needs_data:
            problems += missing_weights(runs, configs)
        problems += foreign_folders([run for run, sound in self._added if sound])
        if self._needs_data and self._devices is not None:
            problems += _too_few_gpus(runs, self._devices)
        for problem in problems:
            self._note(problem)
        return list(self._runs.values())

    def _switches(self) -> set[str] | None:
        """Keys of data that the configs take; None where not all configs are known."""
        known = [self._facts.get(entry.config or "") for entry in self._sources.unknown]
        if not self._plan.entries or None in known:
            return None
        return {key for facts in self._facts.values() if facts for key in facts.switches}

    def _expand_model(self, entry: Entry) -> None:
        facts = self._read(entry.config) if entry.config is not None else None
        if not entry.sound or facts is None:
            self._sources.unknown.append(entry)
        if facts is None:
            return
        self._look_at_options(entry, facts)
        data = self._data.option(entry, facts)
        for setting in entry.batch_settings:
            if setting is not None and "batch_setting" not in facts.rules:
                self._note(f"{entry.config} does not support batch_setting (plan: {setting!r})")
                self._sources.unknown.append(entry)
                return
        for seed in self._plan.seeds:
            for setting in entry.batch_settings:
                for norm in entry.norms or ():
                    self._add_model(entry, facts, data, norm, setting, seed)

    def _add_model(
        self,
        entry: Entry,
        facts: ConfigFacts,
        data: Mapping[str, str],
        norm: str,
        setting: str | None,
        seed: int,
    ) -> None:
        needs = self._sources.find(entry, norm, seed, self._runs.values())
        options: dict[str, Any] = {"norm_cfg.type": norm}
        if setting is not None:
            options["batch_setting"] = setting
        if needs:
            options |= {
                "model.backbone.init_cfg._delete_": True,
                "model.backbone.init_cfg.type": "Pretrained",
                "model.backbone.init_cfg.checkpoint": str(needs[0].work_dir / WEIGHTS),
                "model.backbone.init_cfg.prefix": "backbone.",
            }
        options |= self._shared_options(entry, data, seed)
        options |= entry.norm_options.get(norm, {})
        name = f"{Path(facts.path).stem}_{norm.lower()}" + (f"_{setting}" if setting else "")
        self._add(
            Run(
                task=entry.task,
                model=str(entry.model),
                norm=norm,
                seed=seed,
                config=facts.path,
                options=options,
                processes=int(setting.split("x")[0]) if setting else self._processes(entry),
                work_dir=self._work_dir(entry.task, name, seed),
                batch_setting=setting,
                needs=needs,
                minutes=entry.minutes,
            ),
            name,
            entry.sound,
        )

    def _processes(self, entry: Entry) -> int:
        gpus = len(self._devices.gpus) if self._devices is not None else 0
        return min(entry.processes, gpus) if entry.toy_data and gpus else entry.processes

    def _expand_rows(self, entry: Entry) -> None:
        if not entry.sound:
            self._sources.unknown.append(entry)
        if entry.task not in TASKS:
            return
        try:
            chosen, problems = choose_rows(entry)
        except MetafileError as error:
            self._sources.unknown.append(entry)
            self._note(str(error))
            return
        for problem in problems:
            self._sources.unknown.append(entry)
            self._note(problem)
        names = {model.name for model in chosen}
        for seed in self._plan.seeds:
            # Rows that go on from others come after them.
            for model in sorted(chosen, key=lambda m: bool(self._rows_before(m, names))):
                self._add_row(entry, model, names, seed)

    def _rows_before(self, model: Model, names: set[str]) -> dict[str, tuple[str, str]]:
        """Options that name a file of another row's run: by key, the row and the value."""
        facts = self._read(model.config)
        if facts is None:
            return {}
        found = {}
        for key, value in initial_weights(facts.content, options_of(model)).items():
            match = OTHER_RUN.match(value)
            if match is not None and match[1] in names:
                found[key] = (match[1], value)
            elif match is not None and self._needs_data and not (ROOT / value).is_file():
                self._note(
                    f"row {model.name} of {model.config} goes on from {value}, which is not there "
                    "and which no run of the plan makes; train it, or leave the row out (without)"
                )
        return found

    def _add_row(self, entry: Entry, model: Model, names: set[str], seed: int) -> None:
        facts = self._read(model.config)
        if facts is None:
            return
        self._look_at_options(entry, facts)
        options = options_of(model)
        needs = []
        for key, (name, value) in self._rows_before(model, names).items():
            source = self._runs.get((entry.task, name, seed))
            if source is not None:
                needs.append(source)
                options[key] = value.replace(f"work_dirs/{name}", str(source.work_dir), 1)
        options |= self._shared_options(entry, self._data.option(entry, facts), seed)
        self._add(
            Run(
                task=entry.task,
                model=model.collection,
                norm=norm_in_words(model),
                seed=seed,
                config=model.config,
                options=options,
                processes=processes_of(model) or entry.processes,
                work_dir=self._work_dir(entry.task, model.name, seed),
                row=model.name,
                needs=tuple(dict.fromkeys(needs)),
                minutes=entry.minutes,
            ),
            model.name,
            entry.sound,
        )

    def _look_at_options(self, entry: Entry, facts: ConfigFacts) -> None:
        """Options of several configs may be meant for one of them."""
        keys = {*entry.options, *(key for norm in entry.norm_options.values() for key in norm)}
        for key in sorted(keys):
            own = f"tasks.{entry.task}: {entry.model or 'rows'}: options"
            place = ("options" if key in self._plan.options else own, key)
            if self._options.get(place, "") is not None:
                self._options[place] = why_unknown(key, facts.content, keys)

    def _shared_options(self, entry: Entry, data: Mapping[str, str], seed: int) -> dict[str, Any]:
        options: dict[str, Any] = {"randomness.seed": seed, **data}
        if self._plan.iterations is not None:
            options |= _short(self._plan.iterations)
            return options | {k: v for k, v in entry.options.items() if k not in _LENGTH}
        return options | dict(entry.options)

    def _work_dir(self, task: str, name: str, seed: int) -> Path:
        return self._out / task / f"{name}_seed{seed}"

    def _add(self, run: Run, name: str, sound: bool) -> None:
        key = (run.task, name, run.seed)
        if key in self._runs:
            self._note(f"tasks.{run.task}: two entries give {run.work_dir.name}")
        self._runs[key] = run
        self._added.append((run, sound))

    def _read(self, config: str) -> ConfigFacts | None:
        if config not in self._facts:
            self._facts[config] = None
            try:
                self._facts[config] = ConfigFacts.read(config)
            except ValueError as error:
                self._note(str(error))
        return self._facts[config]

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def _short(iterations: int) -> Mapping[str, Any]:
    """A training that ends after so many iterations, whatever its config says."""
    return {
        "train_cfg._delete_": True,
        "train_cfg.type": "IterBasedTrainLoop",
        "train_cfg.max_iters": iterations,
        "train_cfg.val_interval": iterations,
        "default_hooks.checkpoint.by_epoch": False,
        "default_hooks.checkpoint.interval": iterations,
        "default_hooks.checkpoint.save_best": None,
        "log_processor.by_epoch": False,
    }


def _too_few_gpus(runs: Sequence[Run], devices: Devices) -> list[str]:
    """What is said of runs that could never start."""
    large: dict[int, list[Run]] = {}
    for run in runs:
        if devices.too_few_for(run.processes):
            large.setdefault(run.processes, []).append(run)
    return [
        f"{those[0].task}: {those[0].title} "
        f"{f'and {len(those) - 1} more take' if len(those) > 1 else 'takes'} {processes} GPUs, of "
        f"which there are {len(devices.gpus)}; change processes or batch_settings, leave rows out "
        "(without), or submit to a cluster (--slurm PARTITION)"
        for processes, those in large.items()
    ]
