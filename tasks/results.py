"""The results of a task: read from its metafile, written as tables into its README.

A metafile holds the published figures and the measured ones apart. The README beside it repeats
them between two markers, so that no figure is written by hand in two places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

BEGIN = "<!-- results: begin (written by tools/update_tables.py from metafile.yml) -->"
END = "<!-- results: end -->"
NOT_MEASURED = "not measured"
_TO_ROOT = "../../"  # from tasks/<task>/README.md
_METRICS = (
    *("box AP", "mask AP"),
    *("top-1", "top-5", "mean class accuracy", "test videos"),
    *("mIoU", "multi-scale mIoU"),
    *("MegaFace (Table IX)", "MegaFace (README)"),
    *("MegaFace rank-1", "MegaFace TAR@FAR 1e-6"),
    *("MegaFace rank-1, cleaned", "MegaFace TAR@FAR 1e-6, cleaned"),
    *("IJB-C TAR@FAR 1e-4", "IJB-C TAR@FAR 1e-5"),
)


class MetafileError(ValueError):
    """A metafile, or the README that repeats it, is not as it should be."""


@dataclass(frozen=True)
class Published:
    """Figures of the authors: where they stand, and which notes of doubt belong to them."""

    source: str
    metrics: dict[str, float]
    discrepancies: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """One config, with the options that it is run with, and its published and measured figures.

    Attributes:
        evaluation_only: Whether the row evaluates released weights, so that nothing is to be
            trained.
    """

    name: str
    collection: str
    config: str
    options: str
    evaluation_only: bool
    metadata: dict[str, Any]
    published: Published | None
    measured: dict[str, float]


@dataclass(frozen=True)
class Collection:
    """Models that are compared in one table, and the setting that they share.

    Attributes:
        name: Heads the table.
        setting: Stands above the table.
        measures: Metrics that are measured; None for those that are published.
        test_samples: The fewest and the most samples of the test set that count as all of it; None
            where no published figure is one of a training's own evaluation.
    """

    name: str
    setting: str
    measures: tuple[str, ...] | None
    test_samples: tuple[int, int] | None


@dataclass(frozen=True)
class Metafile:
    """The content of one `metafile.yml`."""

    path: Path
    collections: tuple[Collection, ...]
    models: tuple[Model, ...]
    discrepancies: dict[str, str]

    @property
    def readme(self) -> Path:
        """The README that repeats this metafile."""
        return self.path.with_name("README.md")


def read_metafile(path: str | Path) -> Metafile:
    """Reads and checks a metafile.

    Raises:
        MetafileError: If the file is missing, is not YAML, lacks a key, has a value of a wrong
            kind, names an unknown collection or discrepancy, or lists a model twice.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MetafileError(f"{path}: cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise MetafileError(f"{path}: not YAML: {error}") from None
    collections = tuple(
        Collection(
            _get(entry, "Name", path, "a collection"),
            entry.get("Setting", ""),
            tuple(entry["Measures"]) if "Measures" in entry else None,
            _test_samples(entry, path),
        )
        for entry in _get(content, "Collections", path, "the file")
    )
    metafile = Metafile(
        path=path,
        collections=collections,
        models=tuple(_model(entry, path) for entry in _get(content, "Models", path, "the file")),
        discrepancies=content.get("Discrepancies", {}),
    )
    _check_references(metafile)
    return metafile


def render_tables(metafile: Metafile) -> str:
    """Returns one Markdown table per collection, followed by the notes that they refer to."""
    blocks = [
        _table(metafile, collection)
        for collection in metafile.collections
        if any(model.collection == collection.name for model in metafile.models)
    ]
    notes = [f"- {key}: {text}" for key, text in metafile.discrepancies.items()]
    if notes:
        blocks.append("\n".join(["Where the sources disagree:", "", *notes]))
    return "\n\n".join(blocks)


def updated_readme(metafile: Metafile) -> str:
    """Returns the text of the README with its tables written anew.

    Raises:
        MetafileError: If there is no README beside the metafile, or it lacks the markers.
    """
    readme = metafile.readme
    if not readme.is_file():
        raise MetafileError(f"{readme}: missing; the tables of {metafile.path} belong into it")
    return replace_marked(readme, BEGIN, END, render_tables(metafile))


def replace_marked(readme: Path, begin: str, end: str, table: str) -> str:
    """Returns the text of a README with what stands between two lines replaced.

    Raises:
        MetafileError: If it cannot be read, or lacks one of the lines.
    """
    try:
        text = readme.read_text(encoding="utf-8")
    except OSError as error:
        raise MetafileError(f"{readme}: cannot be read ({error.strerror})") from None
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise MetafileError(
            f"{readme}: needs the two lines\n  {begin}\n  {end}\nonce each and in this order"
        )
    before = text[: text.index(begin)]
    after = text[text.index(end) + len(end) :]
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def update_readmes(
    metafiles: Iterable[str | Path], write: bool, others: Mapping[Path, str] | None = None
) -> list[Path]:
    """Brings the README beside each metafile up to date.

    Args:
        metafiles: Paths of the metafiles.
        write: Whether to write the READMEs, or only to compare.
        others: Further files, and the text that each should have.

    Returns:
        The files that were out of date.
    """
    # All are rendered before one is written: an error leaves every file as it was.
    rendered = dict(others or {})
    for path in metafiles:
        metafile = read_metafile(path)
        rendered[metafile.readme] = updated_readme(metafile)
    stale = [readme for readme, text in rendered.items() if readme.read_text("utf-8") != text]
    if write:
        for readme in stale:
            readme.write_text(rendered[readme], encoding="utf-8")
    return stale


def _get(entry: Any, key: str, path: Path, owner: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise MetafileError(f"{path}: {owner} has no '{key}'")
    return entry[key]


def _test_samples(entry: Mapping[str, Any], path: Path) -> tuple[int, int] | None:
    found = (entry.get("Metadata") or {}).get("Test Samples")
    if found is None:
        return None
    ends = found if isinstance(found, list) else [found, found]
    if len(ends) != 2 or any(type(end) is not int for end in ends) or ends[0] > ends[1]:
        raise MetafileError(
            f"{path}: 'Test Samples' of {entry['Name']} is {found!r}; it must be a whole number, "
            "or two, the fewest and the most, in brackets"
        )
    return ends[0], ends[1]


def _model(entry: Any, path: Path) -> Model:
    name = _get(entry, "Name", path, "a model")
    evaluation_only = entry.get("Evaluation Only", False)
    if not isinstance(evaluation_only, bool):
        raise MetafileError(
            f"{path}: 'Evaluation Only' of {name} is {evaluation_only!r}; it must be true or false"
        )
    published = None
    if "Published" in entry:
        source = entry["Published"]
        published = Published(
            source=_get(source, "Source", path, f"'Published' of {name}"),
            metrics=_get(source, "Metrics", path, f"'Published' of {name}"),
            discrepancies=tuple(source.get("Discrepancies", ())),
        )
    measured: dict[str, float] = {}
    for result in _get(entry, "Results", path, name):
        measured.update(_get(result, "Metrics", path, f"'Results' of {name}"))
    return Model(
        name=name,
        collection=_get(entry, "In Collection", path, name),
        config=_get(entry, "Config", path, name),
        options=entry.get("Options", ""),
        evaluation_only=evaluation_only,
        metadata=_get(entry, "Metadata", path, name),
        published=published,
        measured=measured,
    )


def _check_references(metafile: Metafile) -> None:
    known = [collection.name for collection in metafile.collections]
    seen = set()
    for model in metafile.models:
        if model.name in seen:
            raise MetafileError(f"{metafile.path}: {model.name} is listed twice")
        seen.add(model.name)
        if model.collection not in known:
            raise MetafileError(
                f"{metafile.path}: {model.name} is in collection '{model.collection}', "
                f"which is none of {known}"
            )
        for key in model.published.discrepancies if model.published else ():
            if key not in metafile.discrepancies:
                raise MetafileError(
                    f"{metafile.path}: {model.name} refers to note '{key}', "
                    f"but 'Discrepancies' has only {sorted(metafile.discrepancies)}"
                )


def _table(metafile: Metafile, collection: Collection) -> str:
    models = [model for model in metafile.models if model.collection == collection.name]
    # The sub-columns (AP50, ...) stay in the metafile.
    published = _columns([m.published.metrics for m in models if m.published])
    measured = _columns([m.measured for m in models])
    if collection.measures is None:
        published = measured = [k for k in _METRICS if k in {*published, *measured}]
    else:
        measured = [k for k in _METRICS if k in {*measured, *collection.measures}]
    with_options = any(model.options for model in models)
    titles = ["Config", *["Options"] * with_options, *models[0].metadata]
    titles += [f"published {key}" for key in published] + ["source"]
    titles += [f"measured {key}" for key in measured]
    lines = [f"### {collection.name}", "", collection.setting, ""] if collection.setting else []
    lines += [line(titles), line(["---"] * len(titles))]
    lines += [line(_cells(model, published, measured, with_options)) for model in models]
    return "\n".join(lines)


def _columns(figures: list[dict[str, float]]) -> list[str]:
    return [key for key in _METRICS if any(key in entry for entry in figures)]


def _cells(
    model: Model, published: list[str], measured: list[str], with_options: bool
) -> list[str]:
    cells = [f"[{model.name}]({_TO_ROOT}{model.config})"]
    if with_options:
        cells.append(f"`{model.options}`" if model.options else "")
    cells += [str(value) for value in model.metadata.values()]
    if model.published:
        cells += [figure(model.published.metrics.get(key), "") for key in published]
        cells.append("; ".join([model.published.source, *model.published.discrepancies]))
    else:
        cells += ["" for _ in published] + ["none published"]
    return cells + [figure(model.measured.get(key), NOT_MEASURED) for key in measured]


def figure(value: float | None, absent: str) -> str:
    """A figure with one digit, or two where it has them."""
    if value is None:
        return absent
    return f"{value:.1f}" if round(value, 1) == value else f"{value:.2f}"


def line(cells: list[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
