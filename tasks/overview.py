"""The table of the root README: figures of the tasks' metafiles, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tasks.results import (
    NOT_MEASURED,
    MetafileError,
    Model,
    figure,
    line,
    read_metafile,
    replace_marked,
)

BEGIN = "<!-- overview: begin (written by tools/update_tables.py from tasks/overview.yml) -->"
END = "<!-- overview: end -->"
_NORMS = ("BN", "SyncBN", "GN", "SN", "SyncSN", "SSN")


@dataclass(frozen=True)
class Row:
    """A setting in which norms are compared.

    Attributes:
        setting: In words.
        task: Folder of the metafile.
        metric: As the metafile calls it.
        models: By norm.
    """

    setting: str
    task: str
    metric: str
    models: Mapping[str, Model]


def read_overview(path: Path) -> list[Row]:
    """Reads the rows of the table, with the metafiles that they name.

    Args:
        path: `tasks/overview.yml`, beside the folders of the tasks.

    Raises:
        MetafileError: If the file cannot be read, or names what no metafile has.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise MetafileError(f"{path}: {error}") from None
    known: dict[str, dict[str, Model]] = {}
    return [_row(entry, path, known) for entry in entries]


def _row(entry: dict[str, Any], path: Path, known: dict[str, dict[str, Model]]) -> Row:
    if missing := sorted({"Setting", "Task", "Metric", "Models"} - set(entry)):
        raise MetafileError(f"{path}: {entry.get('Setting', 'a row')} has no {missing}")
    task = entry["Task"]
    if task not in known:
        metafile = read_metafile(path.parent / task / "metafile.yml")
        known[task] = {model.name: model for model in metafile.models}
    models = {}
    for norm, name in entry["Models"].items():
        if norm not in _NORMS:
            raise MetafileError(f"{path}: norm {norm!r} of {entry['Setting']}; norms are {_NORMS}")
        model = models[norm] = known[task].get(name)
        if model is None:
            raise MetafileError(f"{path}: {name} is not in tasks/{task}/metafile.yml")
        if model.published is None or entry["Metric"] not in model.published.metrics:
            raise MetafileError(f"{path}: no {entry['Metric']} is published for {name}")
    return Row(entry["Setting"], task, entry["Metric"], models)


def render_overview(rows: list[Row]) -> str:
    """Returns a Markdown table: a column of published figures a norm, and one of measured ones."""
    norms = [norm for norm in _NORMS if any(norm in row.models for row in rows)]
    titles = ["setting", "metric", *(f"published {norm}" for norm in norms), "measured"]
    lines = [line(titles), line(["---", "---", *["---:"] * len(norms), "---"])]
    for row in rows:
        published = [
            figure(model.published.metrics[row.metric], "")
            if (model := row.models.get(norm)) and model.published
            else ""
            for norm in norms
        ]
        measured = [
            f"{norm} {figure(model.measured[row.metric], '')}"
            for norm, model in row.models.items()
            if row.metric in model.measured
        ]
        setting = f"[{row.setting}](tasks/{row.task}/README.md)"
        lines.append(line([setting, row.metric, *published, ", ".join(measured) or NOT_MEASURED]))
    return "\n".join(lines)


def updated_root_readme(overview: Path, readme: Path) -> str:
    """Returns the text of the root README with its table written anew.

    Raises:
        MetafileError: As :func:`read_overview`, or the README lacks the markers.
    """
    return replace_marked(readme, BEGIN, END, render_overview(read_overview(overview)))
