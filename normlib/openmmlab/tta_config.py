"""Test-time augmentation as a change of config, and the comparison with a test without."""

from __future__ import annotations

import copy
import numbers
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from normlib.openmmlab.data_sets import leaf_configs
from normlib.openmmlab.errors import ConfigError


def augment(cfg: Config) -> None:
    """Put the config's ``tta_model`` around its model, and its ``tta_pipeline`` before it.

    Raises:
        ConfigError: The config has none.
    """
    absent = [key for key in ("tta_model", "tta_pipeline") if key not in cfg]
    if absent:
        raise ConfigError(f"--tta, --tta-compare: the config has no {' and no '.join(absent)}")
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    for dataset in leaf_configs(cfg.test_dataloader.dataset):
        dataset["pipeline"] = cfg.tta_pipeline


def beside(cfg: Config) -> Config:
    """A config for a second run in the same process, in the folder ``tta`` of the first's.

    mmengine tells the logs and the visualizers of one process apart by their names.
    """
    cfg = copy.deepcopy(cfg)
    cfg.work_dir = str(Path(cfg.work_dir, "tta"))
    cfg.experiment_name = f"{cfg.get('experiment_name') or Path(cfg.filename).stem}_tta"
    if (cfg.get("visualizer") or {}).get("name"):
        cfg.visualizer.name += "_tta"
    return cfg


def comparison(plain: dict[str, float], augmented: dict[str, float]) -> str:
    """A table of the metrics without and with augmentation."""
    table = Table("metric", box=SIMPLE, pad_edge=False)
    for column in ("plain", "augmented"):
        table.add_column(column, justify="right")
    for name in [*plain, *(name for name in augmented if name not in plain)]:
        table.add_row(name, *(_shown(metrics.get(name)) for metrics in (plain, augmented)))
    console = Console(width=160, color_system=None)
    with console.capture() as capture:
        console.print(table)
    lines = [line.rstrip() for line in capture.get().splitlines() if line.strip()]
    return "\n".join(["test-time augmentation:", *lines])


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    fraction = isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral)
    return f"{value:.6g}" if fraction else str(value)
