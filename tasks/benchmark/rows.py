"""Rows of a task's metafile: which a plan takes, and what they are run with."""

from __future__ import annotations

import re
from typing import Any

from tasks.results import Model, read_metafile

from .plan import ROOT, Entry

_BATCH = re.compile(r"_(\d+)xb\d+")
_BATCH_OPTION = re.compile(r"(?:^|\s)batch_setting=(\d+)x\d+")
_SHOWN_ROWS = 5


def choose_rows(entry: Entry) -> tuple[list[Model], list[str]]:
    """The rows that an entry of a plan takes, and what is wrong with those that it names.

    Rows that evaluate released weights are none of `published` and `all`: nothing is trained.

    Raises:
        MetafileError: The task's metafile cannot be read.
    """
    path = ROOT / "tasks" / entry.task / "metafile.yml"
    models = {model.name: model for model in read_metafile(path).models}
    named = entry.rows if isinstance(entry.rows, tuple) else ()
    problems = []
    for name in (*named, *entry.without):
        if name not in models:
            listed = ", ".join(list(models)[:_SHOWN_ROWS])
            problems.append(
                f"tasks.{entry.task}: row {name!r} is not in {path.relative_to(ROOT)}, "
                f"which has {len(models)}: {listed}, ..."
            )
        elif name in named and models[name].evaluation_only:
            problems.append(
                f"tasks.{entry.task}: row {name!r} is an evaluation of released weights, with "
                f"nothing to train; tasks/{entry.task}/README.md has its command"
            )
    chosen = [
        model
        for model in models.values()
        if (
            model.published is not None
            if entry.rows == "published"
            else entry.rows == "all" or model.name in named
        )
        and (entry.norms is None or _norm_type(model) in entry.norms)
        and model.name not in entry.without
        and not model.evaluation_only
    ]
    return chosen, problems


def norm_in_words(model: Model) -> str:
    """The norm of a row, of backbone and head where they differ."""
    backbone = str(model.metadata.get("Norm") or model.metadata.get("Backbone Norm") or "unknown")
    head = str(model.metadata.get("Head Norm") or backbone)
    return backbone if head == backbone else f"{backbone}; head {head}"


def _norm_type(model: Model) -> str:
    """The type of the norm of a row's backbone, such as `'BN'` of `'BN, frozen'`."""
    return norm_in_words(model).replace(",", " ").replace(";", " ").split()[0]


def options_of(model: Model) -> dict[str, Any]:
    """Config keys and values of a row."""
    return dict(option.split("=", 1) for option in model.options.split())


def processes_of(model: Model) -> int | None:
    """GPUs of a row, by its batch setting; None where neither options nor name have one."""
    match = _BATCH_OPTION.search(model.options) or _BATCH.search(model.name)
    return int(match[1]) if match else None
