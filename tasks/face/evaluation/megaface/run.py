"""From files to the results of MegaFace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from tasks.data_checks import DatasetError

from .features import open_features
from .lists import read_distractor_list, read_noises, read_probe_list
from .names import find_rows, find_some
from .probes import Probes, check_dimensions
from .protocol import FARS, SetResult, evaluate
from .report import table, write_results
from .rows import UnitRows
from .sets import DistractorSet, first_rows

RESULTS = "results.json"
_COLUMNS = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


@dataclass(frozen=True)
class Request:
    """What is to be measured; all are paths but for the last ones.

    Attributes:
        probes: Embeddings of the probes.
        distractors: Embeddings of the distractors.
        probe_list: Which probes to take, and who is on them; else all, by their folders.
        distractor_lists: A set each; else the first ones.
        sizes: The first N of the distractors, or of the one list.
        facescrub_noises: Noisy probes. With this or the next, the cleaned protocol is measured too.
        megaface_noises: Noisy distractors.
        feature_suffix: See `open_features`.
        fars: Rates of false accepts.
    """

    probes: str
    distractors: str
    probe_list: str | None = None
    distractor_lists: Sequence[str] = ()
    sizes: Sequence[int] | None = None
    facescrub_noises: str | None = None
    megaface_noises: str | None = None
    feature_suffix: str | None = None
    fars: Sequence[float] = FARS


def run(request: Request, out: Path, device: str = "cpu") -> str:
    """Measure, and write `results.json`.

    All processes of the default group have to call this.

    Args:
        request: What to measure.
        out: Folder for the results; made if need be.
        device: Where to compute.

    Returns:
        What to print in the main process; nothing in others.

    Raises:
        DatasetError: A file or embedding cannot be used.
    """
    if request.sizes and len(request.distractor_lists) > 1:
        raise DatasetError(
            f"sizes {list(request.sizes)} are asked for of {len(request.distractor_lists)} "
            "distractor lists; give sizes with one list or none"
        )
    make_folder(out)
    features = open_features(request.probes, request.feature_suffix)
    listed = None if request.probe_list is None else read_probe_list(request.probe_list)
    probes = Probes.of(features, listed)
    distractors = open_features(request.distractors, request.feature_suffix)
    check_dimensions(probes, distractors)
    sets = _sets(request, distractors)
    protocols = {"all": (probes, sets)}
    counts: dict[str, Any] = {
        "people": len(probes.person_names),
        "probes": len(probes.names),
        "distractors": len(distractors.names),
    }
    if request.facescrub_noises or request.megaface_noises:
        protocols["cleaned"] = _cleaned(request, probes, distractors, sets, counts)
    results = {
        name: _measured(name, *chosen, distractors, request.fars, device)
        for name, chosen in protocols.items()
    }
    if not is_main_process():
        return ""
    write_results(out / RESULTS, results, {**asdict(request), **counts})
    summary = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items())
    return f"{summary}\n{table(results)}\nwritten: {out / RESULTS}"


def make_folder(out: Path) -> None:
    """Make the folder for results before hours of work.

    Raises:
        DatasetError: It cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{out} cannot be made for {RESULTS}: {error}") from error


def open_group(launcher: str) -> None:
    """Open the process group, if none is open; little is exchanged, through the hosts' memory."""
    from mmengine.dist import init_dist, is_distributed

    if launcher != "none" and not is_distributed():
        init_dist(launcher, backend="gloo")


def _sets(request: Request, distractors: UnitRows) -> list[DistractorSet]:
    if not request.distractor_lists:
        rows = np.arange(len(distractors.names))
        return first_rows(rows, request.sizes, distractors.source)
    sets = []
    for path in request.distractor_lists:
        wanted = read_distractor_list(path)
        rows = find_rows(wanted, path, distractors.names, distractors.source)
        sizes = request.sizes or [len(rows)]
        # SIZE_SET of the devkit's megaface_features_list.json_SIZE_SET
        name = Path(path).name.rpartition(".json_")[2]
        sets += first_rows(rows, sizes, path, name)
    return sets


def _cleaned(
    request: Request,
    probes: Probes,
    distractors: UnitRows,
    sets: list[DistractorSet],
    counts: dict[str, Any],
) -> tuple[Probes, list[DistractorSet]]:
    if path := request.facescrub_noises:
        noisy = find_some(read_noises(path), path, probes.names, probes.source)
        counts["replaced_probes"] = len(noisy)
        probes = probes.replace_noisy(noisy)
    if path := request.megaface_noises:
        noisy = find_some(read_noises(path), path, distractors.names, distractors.source)
        counts["excluded_distractors"] = len(noisy)
        sets = [entry.without(noisy) for entry in sets]
    return probes, sets


def _measured(
    protocol: str,
    probes: Probes,
    sets: list[DistractorSet],
    distractors: UnitRows,
    fars: Sequence[float],
    device: str,
) -> list[SetResult]:
    console = Console(stderr=True)
    disable = not (console.is_terminal and is_main_process())
    with Progress(*_COLUMNS, console=console, disable=disable) as bar:
        task = bar.add_task(protocol, total=None)

        def told(number: int, passes: int, done: int, total: int) -> None:
            title = protocol if passes == 1 else f"{protocol}, pass {number} of {passes}"
            bar.update(task, description=title, completed=done, total=total)

        return evaluate(probes, distractors, sets, fars, device, told)
