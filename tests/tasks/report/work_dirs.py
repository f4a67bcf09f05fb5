"""Work directories as trainings leave them, written without training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from normlib.analysis.ratio_file import RatioWriter
from normlib.analysis.ratio_record import RecordedLayer

KEYS = {
    "classification": ("accuracy/top1", 1.0),
    "detection": ("coco/bbox_mAP", 100.0),
    "segmentation": ("mIoU", 1.0),
    "face": ("toy/accuracy", 1.0),
    "video": ("accuracy/top1", 1.0),
}
FASTER_RCNN = "configs/detection/toy/faster-rcnn_r18_fpn_toy.py"


def write_metrics(folder: Path, **changes: Any) -> Path:
    """Write metrics.json; `run_*` changes the object `run`, None in place of a key removes it."""
    run = {
        "config": FASTER_RCNN,
        "options": [],
        "norm": "BN",
        "batch_size": 2,
        "seed": 0,
        "generated_data": True,
    }
    record = {
        "format": 2,
        "run": run,
        "evaluated_samples": 40,
        "metrics": {"coco/bbox_mAP": 0.25},
        "evaluated_at": 40,
        "details": None,
        "iterations": 40,
        "max_iterations": 40,
        "seconds_per_iteration": 0.4,
        "peak_memory_mib": 964.0,
        "memory_of": "process",
        "ranks": 2,
        "device": "x86_64",
        "versions": {"python": "3.11.7", "torch": "2.11.0", "normlib": "0.3.0"},
        "backend": "native",
    }
    for key, value in changes.items():
        if key.startswith("run_"):
            run[key.removeprefix("run_")] = value
        else:
            record[key] = value
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(record))
    return folder


def write_run(
    root: Path,
    task: str,
    norm: str,
    seed: int,
    value: float,
    config: str = FASTER_RCNN,
    **changes: Any,
) -> Path:
    """A finished run of a norm and a seed whose main figure is `value` per cent."""
    key, factor = KEYS[task]
    folder = root / f"{Path(config).stem}_{norm.lower()}_{seed}"
    settings = {
        "run_config": config,
        "run_norm": norm,
        "run_seed": seed,
        "run_options": [f"norm_cfg.type={norm}", f"randomness.seed={seed}"],
        "metrics": {key: value / factor},
    }
    return write_metrics(folder, **settings | changes)


def write_benchmark(folder: Path, **changes: Any) -> None:
    """Write benchmark.json."""
    record = {
        "format": 1,
        "plan": "demo",
        "task": "detection",
        "model": "Faster R-CNN",
        "norm": "BN",
        "seed": 0,
        "batch_setting": None,
        "row": None,
        "command": ["tools/dist_train.sh"],
        "attempts": [{"started": "2026-11-28T13:00:00", "seconds": 31.2, "exit_code": 0}],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmark.json").write_text(json.dumps(record | changes))


def write_scalars(
    folder: Path,
    losses: Mapping[int, float],
    metrics: Mapping[int, Mapping[str, float]] | None = None,
    started: str = "20261128_130000",
) -> None:
    """Write vis_data/scalars.json as mmengine's local backend does."""
    lines: list[dict[str, Any]] = []
    metrics = metrics or {}
    for step, loss in losses.items():
        lines.append({"lr": 0.01, "data_time": 0.01, "loss": loss, "time": 0.2, "iter": step,
                      "step": step})  # fmt: skip
        if step in metrics:
            lines.append({**metrics[step], "data_time": 0.01, "time": 0.1, "step": step})
    path = folder / started / "vis_data" / "scalars.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def write_ratios(folder: Path, kind: str, parts: Sequence[str], seed: int = 0) -> None:
    """Write ratios.bin with six layers a part; those of sparse norms end one-hot."""
    layers = [
        RecordedLayer(f"{part}.norm{k}", part, kind, ("in", "ln", "bn"), 32 * 2**k, 8 * 2**k, 2**k)
        for part in parts
        for k in range(6)
    ]
    rng = np.random.default_rng(seed)
    goal = rng.normal(0, 2, (2 * len(layers), 3))
    folder.mkdir(parents=True, exist_ok=True)
    writer = RatioWriter(folder / "ratios.bin", layers, 40, 0)
    for step in range(0, 41, 2):
        ratios = np.exp(goal * step / 40)
        ratios /= ratios.sum(1, keepdims=True)
        if kind.endswith("SSN") and step > 20:
            ratios = np.eye(3)[ratios.argmax(1)]
        writer.append(step, ratios.astype(np.float32).ravel())
