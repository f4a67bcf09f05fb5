"""What the command ``tools/plot_ratios.py`` does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normlib.analysis import ratio_plots
from normlib.analysis.figures import save_png
from normlib.analysis.ratio_file import read_ratios
from normlib.analysis.ratio_record import FILE_NAME, RatioRecord, RatioRecordError
from normlib.analysis.ratio_state import ratios_in
from normlib.analysis.ratio_summary import hard_choices, match_layers, table
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.pretrained import state_dict_of
from normlib.openmmlab.safe_loading import load_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CHECKPOINTS = (".pth", ".pt", ".safetensors")
_LISTED = 4


def plot_ratios(
    paths: Sequence[str],
    out: str | None = None,
    axis: str = "depth",
    compare: tuple[str, str] | None = None,
) -> Iterator[str]:
    """Draw all pictures that records of ratios allow.

    Args:
        paths: Work directories, records or checkpoints.
        out: Folder of the pictures; by default ``ratios`` beside the first record.
        axis: What layers are ordered by, see :func:`normlib.analysis.ratio_plots.layer_bars`.
        compare: Two more paths, to draw the difference of.

    Yields:
        What there is to say, piece by piece.

    Raises:
        RatioRecordError: A record is missing or cannot be read, or does not allow the axis.
        CheckpointError: A checkpoint is missing or cannot be read.
        ConfigError: There is nothing to draw, or matplotlib is missing.
    """
    every = [*paths, *(compare or ())]
    if not every:
        raise ConfigError("nothing to draw: name work directories, or two to --compare")
    records = {path: _read(path) for path in every}
    labels = _labels(every)
    first = Path(every[0])
    folder = Path(out) if out else (first if first.is_dir() else first.parent) / "ratios"
    for path in dict.fromkeys(every):
        record = records[path]
        yield f"{path}: {len(record.layers)} layers, {_moments(record)}\n" + "\n".join(
            [*table(record), *(f"note: {note}" for note in record.notes)]
        )
    try:
        named = {labels[path]: records[path] for path in paths}
        for name, figure, text in _pictures(named, axis):
            save_png(figure, folder / f"{name}.png")
            yield f"{folder / name}.png: {text}"
        if compare is not None:
            one, other = (records[path] for path in compare)
            names = labels[compare[0]], labels[compare[1]]
            figure = ratio_plots.comparison(one, other, names, axis)
            save_png(figure, folder / "comparison.png")
            yield f"{folder / 'comparison'}.png: {_difference(one, other, names)}"
    except ImportError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written to: {error}") from error


def _read(path: str) -> RatioRecord:
    place = Path(path).expanduser()
    if place.suffix in _CHECKPOINTS and not place.is_dir():
        checkpoint: Any = load_file(path, "cpu")
        meta = checkpoint.get("meta") if isinstance(checkpoint, Mapping) else None
        iteration = meta.get("iter") if isinstance(meta, Mapping) else None
        state = state_dict_of(checkpoint, path)
        return ratios_in(state, path, iteration if isinstance(iteration, int) else 0)
    if place.is_dir() and not (place / FILE_NAME).is_file():
        raise RatioRecordError(
            f"{path} has no {FILE_NAME}, which a training of a model with switchable norms "
            f"(norm_cfg.type SN, SyncSN, SSN or SyncSSN) writes there{_found_in(place)}"
        )
    return read_ratios(place)


def _found_in(folder: Path) -> str:
    below = sorted(str(path.parent) for path in folder.glob(f"*/{FILE_NAME}"))
    if not below:
        return "; of other trainings, name a checkpoint"
    more = f" and {len(below) - _LISTED} more" if len(below) > _LISTED else ""
    return f"; there is one in {', '.join(below[:_LISTED])}{more}"


def _labels(paths: Sequence[str]) -> dict[str, str]:
    """The last component of each path, or all of it where others have the same."""
    places = {path: Path(path).resolve() for path in paths}
    for path, place in places.items():
        if place.name == FILE_NAME:
            places[path] = place.parent
    names = [place.name for place in set(places.values())]
    return {p: p if names.count(place.name) > 1 else place.name for p, place in places.items()}


def _moments(record: RatioRecord) -> str:
    first, last = record.iterations[0], record.iterations[-1]
    planned = f" of {record.max_iters}" if record.max_iters else ""
    if len(record.iterations) == 1:
        return f"after iteration {last}{planned}"
    return f"{len(record.iterations)} moments from iteration {first} to {last}{planned}"


def _pictures(records: Mapping[str, RatioRecord], axis: str) -> Iterator[tuple[str, Figure, str]]:
    """Name, picture and what it shows."""
    if not records:
        return
    yield (
        "parts",
        ratio_plots.part_averages(records),
        "last ratios, averaged over the layers of each part, with a standard deviation",
    )
    yield (
        "divergence",
        ratio_plots.divergence(records, axis),
        "symmetric KL divergence between the ratios of means and of variances, by layer",
    )
    for label, record in records.items():
        start = f"{label.strip('/').replace('/', '_')}_" if len(records) > 1 else ""
        text = f"last ratios of every layer over {axis}"
        yield f"{start}layers", ratio_plots.layer_bars(record, axis), text
        if len(record.iterations) < 2:
            continue
        text = "averages of each part over iterations, with the middle half of its layers"
        yield f"{start}course_of_parts", ratio_plots.dynamics(record), text
        text = "ratios of some layers, from input to output, over iterations"
        yield f"{start}course_of_layers", ratio_plots.dynamics(record, by="layer"), text
        if record.is_sparse or any((choice >= 0).any() for choice in hard_choices(record)):
            text = "what every layer has chosen, over iterations"
            yield f"{start}choices", ratio_plots.choices(record), text


def _difference(one: RatioRecord, other: RatioRecord, names: tuple[str, str]) -> str:
    matching = match_layers(one, other)
    text = f"{names[1]} minus {names[0]} in {len(matching.pairs)} layers"
    for name, alone in zip(names, (matching.only_one, matching.only_other), strict=True):
        if alone:
            more = f" and {len(alone) - _LISTED} more" if len(alone) > _LISTED else ""
            text += f"; only in {name}: {', '.join(alone[:_LISTED])}{more}"
    return text
