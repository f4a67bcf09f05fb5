"""A machine-readable summary of a run, beside its log."""

from __future__ import annotations

import functools
import json
import math
import platform
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop, Runner, TestLoop, ValLoop

import normlib
from normlib.analysis.hardware import device_name
from normlib.checkpoint.saving import replacing

# Keys of a config: the options it was loaded with, as KEY=VALUE, and whether its data are made up.
GIVEN_OPTIONS = "given_options"
GENERATED_DATA = "generated_data"
_NAME = "metrics.json"
_FORMAT = 2
_ROOT = Path(normlib.__file__).resolve().parents[1]


@HOOKS.register_module()
class MetricsFileHook(Hook):
    """Keeps ``metrics.json`` in the work directory up to date.

    The file holds what was run (``run``: the config, relative to the project's root where it lies
    inside; the options given with it; a label of its norms; the batch of a process; the seed; and
    whether the data were generated), the last evaluation (``metrics``; ``evaluated_samples``, the
    size of its data set; ``evaluated_at``, the iterations that were done then; and ``details``,
    such as figures by class: the dicts that its metrics have as an attribute of this name, merged),
    the iterations done and planned, the median seconds an iteration takes, data loading included
    (``seconds_per_iteration``; the first few of the process are left out), the largest memory of
    any rank in MiB (``peak_memory_mib``: of the device on CUDA, of the process on a CPU, as
    ``memory_of`` says), the hardware and the versions. What a run does not have is null, and so are
    NaN and infinity, which JSON cannot hold. ``format`` is the version of this layout. The file is
    written after every evaluation and at the end, to a temporary file that then replaces it.

    Args:
        warmup: Iterations that are not counted in the time.
    """

    # Before LoggerHook, whose log of the memory resets the device's peak.
    priority = "NORMAL"

    def __init__(self, warmup: int = 3) -> None:
        self.warmup = warmup
        self._seconds: list[float] = []
        self._last: float | None = None
        self._peak = 0.0
        self._metrics: dict[str, Any] = {}
        self._details: dict[str, Any] | None = None
        self._evaluated_at: int | None = None
        self._evaluated_samples: int | None = None

    def before_train_epoch(self, runner: Runner) -> None:
        """Leave the time between epochs out."""
        self._last = None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Time the iteration and look at the memory."""
        now = time.perf_counter()
        if self._last is not None:
            self._seconds.append(now - self._last)
        self._last = now
        self._peak = max(self._peak, _peak_memory())

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Take note of the metrics, and of the memory before the log resets its peak."""
        self._take(metrics, runner.val_loop)
        self._evaluated_at = runner.iter if isinstance(runner._train_loop, BaseLoop) else None
        self._peak = max(self._peak, _peak_memory())

    def after_val(self, runner: Runner) -> None:
        """Write the file.

        By now the best checkpoint is saved: a validation that the file tells of is not made up for.
        """
        self._write(runner)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the file."""
        self._take(metrics, runner.test_loop)
        self._write(runner)

    def after_train(self, runner: Runner) -> None:
        """Write the file."""
        self._write(runner)

    def _take(self, metrics: dict[str, float] | None, loop: ValLoop | TestLoop) -> None:
        self._metrics = {name: _plain(value) for name, value in (metrics or {}).items()}
        self._evaluated_samples = len(loop.dataloader.dataset)
        evaluator = loop.evaluator
        details = [getattr(metric, "details", None) for metric in evaluator.metrics]
        found = [_plain(part) for part in details if isinstance(part, dict)]
        self._details = functools.reduce(_merged, found) if found else None
        self._last = None

    def _write(self, runner: Runner) -> None:
        self._peak = max(self._peak, _peak_memory())
        peak = max(dist.all_gather_object(self._peak))
        if dist.get_rank() != 0:
            return
        on_cuda = torch.cuda.is_available()
        trains = isinstance(runner._train_loop, BaseLoop)
        timed = self._seconds[self.warmup :]
        summary = {
            "format": _FORMAT,
            "run": _description(runner),
            "metrics": self._metrics,
            "evaluated_samples": self._evaluated_samples,
            "evaluated_at": self._evaluated_at,
            "details": self._details,
            "iterations": runner.iter if trains else None,
            "max_iterations": runner.max_iters if trains else None,
            "seconds_per_iteration": statistics.median(timed) if timed else None,
            "peak_memory_mib": round(peak, 1),
            "memory_of": "device" if on_cuda else "process",
            "ranks": dist.get_world_size(),
            "device": device_name(),
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "normlib": normlib.__version__,
            },
            "backend": normlib.backend().name,
        }
        text = json.dumps(summary, indent=2, allow_nan=False)
        with replacing(Path(runner.work_dir, _NAME)) as scratch:
            scratch.write_text(text)


def _description(runner: Runner) -> dict[str, Any]:
    """What was run."""
    cfg = runner.cfg
    loader = (cfg.get("train_dataloader") if cfg.get("train_cfg") else None) or {}
    return {
        "config": _config_name(cfg.filename),
        "options": list(cfg.get(GIVEN_OPTIONS) or []),
        "norm": _norm_label(cfg.get("norm_cfg")),
        "batch_size": loader.get("batch_size"),
        "seed": runner.seed,
        "generated_data": bool(cfg.get(GENERATED_DATA)),
    }


def _config_name(filename: str | None) -> str | None:
    if not filename:
        return None
    path = Path(filename).resolve()
    return str(path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else path)


def _norm_label(norm_cfg: Any) -> str | None:
    """Such as ``'SN'``, or ``'backbone BN, head SN'`` where parts differ."""
    if not isinstance(norm_cfg, dict):
        return None
    parts = {
        part: _norm_label(norm) or "none"
        for part, norm in norm_cfg.items()
        if part in ("backbone", "neck", "head")
    }
    own = [str(norm_cfg["type"])] if "type" in norm_cfg else []
    return ", ".join(own + [f"{part} {norm}" for part, norm in parts.items()]) or None


def evaluated_at(work_dir: str) -> int | None:
    """The iterations that were done at the last validation that a work directory tells of."""
    try:
        done = json.loads(Path(work_dir, _NAME).read_text())["evaluated_at"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return done if isinstance(done, int) else None


def _peak_memory() -> float:
    """MiB of the device since its peak was last reset, or of the process in its life."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _plain(value: Any) -> Any:
    """A metric as JSON can hold it."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return number if math.isfinite(number) else None


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Both dicts, and so the dicts that they hold under one key; else the second's value counts."""
    both = dict(one)
    for key, value in other.items():
        mine = both.get(key)
        if isinstance(mine, dict) and isinstance(value, dict):
            value = _merged(mine, value)
        both[key] = value
    return both
