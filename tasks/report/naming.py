"""What a run trained, told from its config, its options and what it measured."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

from tasks.task_metrics import TASK_METRICS

ROOT = Path(__file__).resolve().parents[2]
NORM_ORDER = ("BN", "SyncBN", "GN", "LN", "IN", "SN", "SyncSN", "SSN", "SyncSSN")
_NORM = re.compile(rf"-(?:{'|'.join(name.lower() for name in NORM_ORDER)})(?=[_-]|$)")
# Where data and outputs lie, how they are read, and what is logged: the training stays the same.
_NEUTRAL = re.compile(
    r"""[a-z0-9]+_data\.root | data_root | work_dir | launcher | log_level | resume
    | randomness\.seed
    | (train|val|test)_dataloader\.(num_workers|persistent_workers|prefetch_factor|pin_memory)
    | default_hooks\.(timer|logger|checkpoint|metrics|ratios)\..*
    | (log_processor|visualizer|env_cfg)\..* | vis_backends.*""",
    re.VERBOSE,
)
_DATA_FOLDER = re.compile(r"[a-z0-9]+_data\.root | data_root", re.VERBOSE)
_WEIGHTS = (".pth", ".pt", ".safetensors")


def task_of(config: str | None, metrics: Mapping[str, Any], named: str | None) -> str | None:
    """The task: as named, else that of the folder of the config, else the one that measures so."""
    if named in TASK_METRICS:
        return named
    parts = PurePath(config or "").parts
    for folder, below in itertools.pairwise(parts):
        if folder == "configs" and below in TASK_METRICS:
            return below
    fitting = [
        task
        for task, known in TASK_METRICS.items()
        if any(metric.value(metrics) is not None for metric in known)
    ]
    return fitting[0] if len(fitting) == 1 else None


def family(config: str) -> str:
    """The name of a config without its norm: `resnet50-sn_8xb32` and `resnet50-bn_8xb32` agree."""
    return _NORM.sub("", PurePath(config).stem)


def changes(options: Iterable[str]) -> tuple[str, ...]:
    """The options that change a training; weights are told by the name of their file alone."""
    return tuple(
        f"{key}={PurePath(value).name}" if is_weights(value) else option
        for option in options
        for key, _, value in [option.partition("=")]
        if not _NEUTRAL.fullmatch(key)
    )


def data_folders(options: Iterable[str]) -> tuple[str, ...]:
    """The options that say where data lie; a folder is told by its name alone."""
    return tuple(
        f"{key}={PurePath(value).name}"
        for option in options
        for key, _, value in [option.partition("=")]
        if _DATA_FOLDER.fullmatch(key)
    )


def is_weights(option: str) -> bool:
    """Whether the value of an option is a file of weights."""
    return option.endswith(_WEIGHTS)


def norm_rank(norm: str) -> tuple[int, str]:
    """Sorts norms: the known ones in the order of the papers, then the others by name."""
    return (NORM_ORDER.index(norm) if norm in NORM_ORDER else len(NORM_ORDER), norm)


def distinct(values: Iterable[str]) -> list[str]:
    """The values without those that came before."""
    return list(dict.fromkeys(values))
