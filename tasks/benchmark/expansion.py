"""From a plan to its runs, once everything that they need has been looked at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.results import MetafileError, Model, read_metafile

from .configs import ConfigFacts
from .option_keys import why_unknown
from .plan import ROOT, Entry, Plan, PlanError
from .run import Run
from .toy_data import SWITCHES, toy_folder
from .weights import WEIGHTS

# Synchronised and sparse norms can start from the weights of others, as in the papers.
_WEIGHTS_OF = {
    "SyncBN": ("SyncBN", "BN"),
    "SyncSN": ("SyncSN", "SN"),
    "SSN": ("SSN", "SN"),
    "SyncSSN": ("SyncSSN", "SSN", "SN"),
}
_BATCH = re.compile(r"_(\d+)xb\d+")
_BATCH_OPTION = re.compile(r"(?:^|\s)batch_setting=(\d+)x\d+")
_OTHER_RUN = re.compile(r"work_dirs/([^/]+)/")
_SHOWN_ROWS = 5
# Options that the length of a training in iterations takes the place of.
_LENGTH = ("train_cfg.max_epochs", "train_cfg.max_iters", "train_cfg.val_interval")


def expand(plan: Plan, out: Path, needs_data: bool = True) -> list[Run]:
    """The runs of a plan, in an order in which each comes after those that it needs.

    Args:
        plan: The plan.
        out: Absolute path of the folder of all work directories and generated data.
        needs_data: Whether data that are not there are a problem.

    Raises:
        PlanError: Every problem found: configs that cannot be read or lack what the plan changes,
            options that say nothing to any config that they are for, rows or models that do not
            exist, data that are not there, work directories that two runs share.
    """
    expansion = _Expansion(plan, out, needs_data)
    runs = expansion.runs()
    if expansion.problems:
        raise PlanError(plan.path, expansion.problems)
    return runs


class _Expansion:
    def __init__(self, plan: Plan, out: Path, needs_data: bool) -> None:
        self.problems: list[str] = []
        self._needs_data = needs_data
        self._plan = plan
        self._out = out
        self._facts: dict[str, ConfigFacts] = {}
        self._runs: dict[tuple[str, str, int], Run] = {}
        self._used_data: set[str] = set()
        # By place in the plan and key: None, or what is wrong with it.
        self._options: dict[tuple[str, str], str | None] = {}

    def runs(self) -> list[Run]:
        # Those that others start from come first.
        for entry in sorted(self._plan.entries, key=self._depth):
            if entry.rows is None:
                self._expand_model(entry)
            else:
                self._expand_rows(entry)
        for key in sorted(set(self._plan.data) - self._used_data):
            self._note(f"data.{key}: no config of the plan takes it")
        for (place, _), why in self._options.items():
            if why is not None:
                self._note(f"{place}: {why}")
        return list(self._runs.values())

    def _depth(self, entry: Entry) -> int:
        """How many models one after the other an entry starts from."""
        sources = {e.model: e.pretrained for e in self._plan.entries if e.model is not None}
        chain, model = [entry.model], entry.pretrained
        while model is not None and model not in chain:
            chain.append(model)
            model = sources.get(model)
        if model is not None:
            self._note(f"pretrained goes in a circle: {' from '.join(map(str, [*chain, model]))}")
        return len(chain)

    def _expand_model(self, entry: Entry) -> None:
        facts = self._read(entry.config or "")
        if facts is None:
            return
        self._look_at_options(entry, facts)
        for setting in entry.batch_settings:
            if setting is not None and "batch_setting" not in facts.rules:
                self._note(f"{entry.config} knows no batch_setting (plan: {setting!r})")
                return
        for seed in self._plan.seeds:
            for setting in entry.batch_settings:
                for norm in entry.norms:
                    self._add_model(entry, facts, norm, setting, seed)

    def _add_model(
        self, entry: Entry, facts: ConfigFacts, norm: str, setting: str | None, seed: int
    ) -> None:
        needs = self._weights(entry, norm, seed)
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
        options |= self._shared_options(entry, facts, seed)
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
                processes=int(setting.split("x")[0]) if setting else entry.processes,
                work_dir=self._work_dir(entry.task, name, seed),
                batch_setting=setting,
                needs=needs,
                minutes=entry.minutes,
            ),
            name,
        )

    def _weights(self, entry: Entry, norm: str, seed: int) -> tuple[Run, ...]:
        """The run that gives a model the weights of its backbone."""
        if entry.pretrained is None:
            return ()
        for candidate in _WEIGHTS_OF.get(norm, (norm,)):
            for run in self._runs.values():
                if (run.model, run.norm, run.seed) == (entry.pretrained, candidate, seed):
                    return (run,)
        self._note(
            f"{entry.model} with {norm} starts from {entry.pretrained} with "
            f"{' or '.join(_WEIGHTS_OF.get(norm, (norm,)))}, which the plan does not train"
        )
        return ()

    def _expand_rows(self, entry: Entry) -> None:
        path = ROOT / "tasks" / entry.task / "metafile.yml"
        try:
            models = {model.name: model for model in read_metafile(path).models}
        except MetafileError as error:
            self._note(str(error))
            return
        listed_rows = entry.rows if isinstance(entry.rows, tuple) else ()
        for name in (*listed_rows, *entry.without):
            if name not in models:
                listed = ", ".join(list(models)[:_SHOWN_ROWS])
                self._note(
                    f"tasks.{entry.task}: row {name!r} is not in {path.relative_to(ROOT)}, "
                    f"which has {len(models)}: {listed}, ..."
                )
        chosen = [
            model
            for model in models.values()
            if (
                model.published is not None
                if entry.rows == "published"
                else entry.rows == "all" or model.name in (entry.rows or ())
            )
            and (not entry.norms or _norm_type(model) in entry.norms)
            and model.name not in entry.without
        ]
        names = {model.name for model in chosen}
        for seed in self._plan.seeds:
            # Rows that go on from others come after them.
            for model in sorted(chosen, key=lambda m: bool(self._sources(m, names))):
                self._add_row(entry, model, names, seed)

    def _sources(self, model: Model, names: set[str]) -> dict[str, tuple[str, str]]:
        """Options that name a file of another row's run: by key, the row and the value."""
        facts = self._read(model.config)
        if facts is None:
            return {}
        values = {**facts.other_runs, **_options(model)}
        found = {}
        for key, value in values.items():
            match = _OTHER_RUN.match(value) if isinstance(value, str) else None
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
        options: dict[str, Any] = _options(model)
        needs = []
        for key, (name, value) in self._sources(model, names).items():
            source = self._runs.get((entry.task, name, seed))
            if source is not None:
                needs.append(source)
                options[key] = value.replace(f"work_dirs/{name}", str(source.work_dir), 1)
        options |= self._shared_options(entry, facts, seed)
        match = _BATCH_OPTION.search(model.options) or _BATCH.search(model.name)
        self._add(
            Run(
                task=entry.task,
                model=model.collection,
                norm=_norm_in_words(model),
                seed=seed,
                config=model.config,
                options=options,
                processes=int(match[1]) if match else entry.processes,
                work_dir=self._work_dir(entry.task, model.name, seed),
                row=model.name,
                needs=tuple(dict.fromkeys(needs)),
                minutes=entry.minutes,
            ),
            model.name,
        )

    def _look_at_options(self, entry: Entry, facts: ConfigFacts) -> None:
        """Options of several configs may be meant for one of them."""
        keys = {*entry.options, *(key for norm in entry.norm_options.values() for key in norm)}
        for key in sorted(keys):
            own = f"tasks.{entry.task}: {entry.model or 'rows'}: options"
            place = ("options" if key in self._plan.options else own, key)
            if self._options.get(place, "") is not None:
                self._options[place] = why_unknown(key, facts.content, keys)

    def _shared_options(self, entry: Entry, facts: ConfigFacts, seed: int) -> dict[str, Any]:
        options: dict[str, Any] = {"randomness.seed": seed}
        if entry.toy_data is not None:
            options[f"{SWITCHES[entry.toy_data]}.root"] = str(toy_folder(self._out, entry.toy_data))
        else:
            options |= self._data(entry, facts)
        if self._plan.iterations is not None:
            options |= _short(self._plan.iterations)
            return options | {k: v for k, v in entry.options.items() if k not in _LENGTH}
        return options | dict(entry.options)

    def _data(self, entry: Entry, facts: ConfigFacts) -> dict[str, str]:
        """Where the data are, by the plan or by the config; noted where they are not there."""
        for switch in facts.switches & set(self._plan.data):
            folder = Path(self._plan.data[switch]).expanduser().absolute()
            if self._needs_data and not folder.is_dir():
                self._note(f"data.{switch}: {folder} is not a folder")
            return {f"{switch}.root": str(folder)}
        given = {f"{switch}.root" for switch in facts.switches} & entry.options.keys()
        roots = [str(entry.options[key]) for key in given] or sorted(facts.data_roots)
        for root in roots:
            folder = ROOT / Path(root).expanduser()
            if self._needs_data and not folder.is_dir():
                keys = " or ".join(f"data.{switch}" for switch in sorted(facts.switches))
                advice = f"; give its place by {keys} in the plan" if keys else ""
                self._note(f"{entry.task}: {folder} is not a folder of data{advice}")
        return {}

    def _work_dir(self, task: str, name: str, seed: int) -> Path:
        return self._out / task / f"{name}_seed{seed}"

    def _add(self, run: Run, name: str) -> None:
        key = (run.task, name, run.seed)
        if key in self._runs:
            self._note(f"tasks.{run.task}: two entries give {run.work_dir.name}")
        self._runs[key] = run

    def _read(self, config: str) -> ConfigFacts | None:
        if config not in self._facts:
            try:
                self._facts[config] = ConfigFacts.read(config)
            except ValueError as error:
                self._note(str(error))
                return None
            self._used_data |= self._facts[config].switches
        return self._facts[config]

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def _norm_in_words(model: Model) -> str:
    """The norm of a row, of backbone and head where they differ."""
    backbone = str(model.metadata.get("Norm") or model.metadata.get("Backbone Norm") or "unknown")
    head = str(model.metadata.get("Head Norm") or backbone)
    return backbone if head == backbone else f"{backbone}; head {head}"


def _norm_type(model: Model) -> str:
    """The type of the norm of a row's backbone, such as `'BN'` of `'BN, frozen'`."""
    return _norm_in_words(model).replace(",", " ").replace(";", " ").split()[0]


def _options(model: Model) -> dict[str, Any]:
    return dict(option.split("=", 1) for option in model.options.split())


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
