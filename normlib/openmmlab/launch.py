"""From a config file to a Runner that is ready to train or test."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.logging import print_log
from mmengine.registry import FUNCTIONS, RUNNERS
from mmengine.runner import Runner

import normlib
from normlib.openmmlab import processes, sharded
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.fused_blocks import fuse_norm_activation
from normlib.openmmlab.hooks import SparseScheduleHook
from normlib.openmmlab.hooks.metrics_file import GIVEN_OPTIONS
from normlib.openmmlab.norm_cfg import NormChange, apply_norm_cfg, check_model
from normlib.openmmlab.pretrained import allow_missing_weights, bn_to_sn
from normlib.openmmlab.wrappers import bare_model

_NORM_CHANGES = "norm_changes"


def load_config(
    path: str | Path, options: dict[str, Any] | None = None, needs_data: bool = True
) -> Config:
    """Read a config and work out what it says in short.

    In this order: the file and its bases, ``options``, the rules named in ``config_rules`` (in
    mmengine's FUNCTIONS registry, called with the config), ``norm_cfg``, ``allow_missing_weights``,
    ``bn_to_sn``, and the defaults of ``work_dir``, ``runner_type`` and the optimizer's constructor.

    Args:
        path: The config file.
        options: Dotted keys and their values, which go before the file's.
        needs_data: Whether data that a rule (one with a true attribute ``reads_data``) cannot find
            are an error; otherwise that rule changes nothing, and the log says so.

    Returns:
        The config, ready for :func:`build_runner`.

    Raises:
        ConfigError: If the file cannot be read, or says what cannot be done.
    """
    cfg = _read(Path(path))
    try:
        cfg.merge_from_dict(options or {})
        cfg[GIVEN_OPTIONS] = sorted(f"{key}={value}" for key, value in (options or {}).items())
    except (KeyError, TypeError, IndexError, AssertionError) as error:
        raise ConfigError(f"--cfg-options do not fit {path}: {error}") from error
    _drop_delete_marks(cfg._cfg_dict)

    with _naming(path):
        for name in cfg.get("config_rules") or []:
            rule = FUNCTIONS.get(name)
            if rule is None:
                raise ConfigError(
                    f"config_rules names {name!r}, which is not registered in FUNCTIONS; "
                    "is the module that defines it in custom_imports?"
                )
            _apply_rule(rule, name, cfg, needs_data)
        changes = apply_norm_cfg(cfg)
        allow_missing_weights(cfg)
        bn_to_sn(cfg)
        if not isinstance(cfg.get("fuse_norm_activation", False), bool):
            raise ConfigError(
                f"fuse_norm_activation is {cfg.fuse_norm_activation!r}; it must be True or False"
            )
    cfg[_NORM_CHANGES] = [dataclasses.asdict(change) for change in changes]

    if cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs", Path(path).stem))
    if "runner_type" not in cfg:
        cfg.runner_type = "CheckedRunner"
    if cfg.get("optim_wrapper"):
        cfg.optim_wrapper.setdefault("constructor", "SwitchNormOptimWrapperConstructor")
    return cfg


def _drop_delete_marks(node: Any) -> None:
    """Take out ``_delete_`` where there was nothing to delete: mmengine leaves it there."""
    if isinstance(node, dict):
        node.pop("_delete_", None)
    children = node.values() if isinstance(node, dict) else node
    if isinstance(node, dict | list | tuple):
        for child in children:
            _drop_delete_marks(child)


def build_runner(cfg: Config, launcher: str = "none") -> Runner:
    """Build the Runner, and log which norms its model has and which kernels serve them.

    With ``fuse_norm_activation = True`` in the config, switchable norms do the ReLU after them, see
    :func:`normlib.openmmlab.fused_blocks.fuse_norm_activation`.

    Args:
        cfg: A config from :func:`load_config`.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Raises:
        ConfigError: If the launcher has not started this process, the work directory cannot be
            made, or the model has no norm where the config asks for one.
    """
    cfg = cfg.copy()
    changes = [NormChange(**change) for change in cfg.pop(_NORM_CHANGES, [])]
    cfg.launcher = launcher
    try:
        Path(cfg.work_dir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"work_dir {cfg.work_dir} cannot be made: {error}") from error

    dist_cfg = cfg.get("env_cfg", {}).get("dist_cfg", {})
    processes.start(launcher, timeout=dist_cfg.get("timeout", 1800))
    runner = RUNNERS.build(cfg)
    with _naming(cfg.filename or "config"):
        table = check_model(cfg, bare_model(runner.model), changes)
    if sharded.row_shards(bare_model(runner.model)) and cfg.get("train_cfg"):
        _refuse_ema(runner)
    if table:
        runner.logger.info(f"norm layers:\n{table}")
    if cfg.get("fuse_norm_activation"):
        _fuse_norm_activation(runner)
    backend = normlib.backend()
    runner.logger.info(f"normlib backend: {backend.name} ({backend.reason})")
    if cfg.get("train_cfg"):
        _schedule_sparse_norms(runner)
    return runner


def _refuse_ema(runner: Runner) -> None:
    """An averaged copy of a model holds the rows of one rank, and would be saved as if whole."""
    if any(isinstance(hook, EMAHook) for hook in runner.hooks):
        raise ConfigError(
            "EMAHook averages a model whose parameters are split over the processes, of which it "
            "would save a part; take it out of custom_hooks, or train in one process"
        )


def _fuse_norm_activation(runner: Runner) -> None:
    model = bare_model(runner.model)
    fused = fuse_norm_activation(model)
    every = len(list(normlib.switch_norm_layers(model)))
    runner.logger.info(
        f"fuse_norm_activation: {fused} of {every} switchable norms do the ReLU after them"
        + ("" if fused else "; nothing is fused, see normlib/openmmlab/fused_blocks.py for what is")
    )


def _schedule_sparse_norms(runner: Runner) -> None:
    """Without their schedule sparse norms never become sparse: add it where the config has none."""
    learn = any(
        isinstance(layer, normlib.SparseSwitchNorm) and layer.mean_weight.requires_grad
        for _, layer in normlib.switch_norm_layers(runner.model)
    )
    if learn and not any(isinstance(hook, SparseScheduleHook) for hook in runner.hooks):
        runner.register_hook(SparseScheduleHook())
        runner.logger.info(
            "the config has sparse norms and no SparseScheduleHook: it is added, so that their "
            "radius grows with training; name it in custom_hooks to set its arguments"
        )


def _apply_rule(rule: Callable[[Config], None], name: str, cfg: Config, needs_data: bool) -> None:
    if needs_data or not getattr(rule, "reads_data", False):
        rule(cfg)
        return
    try:
        rule(copy.deepcopy(cfg))
    except ValueError as error:
        print_log(f"{name} is skipped; the classes of the config are used: {error}", "current")
    else:
        rule(cfg)


def _read(path: Path) -> Config:
    if not path.is_file():
        raise ConfigError(f"config {path} does not exist (looked for {path.absolute()})")
    try:
        return Config.fromfile(path)
    except (OSError, SyntaxError, ImportError, NameError, KeyError) as error:
        cause = error.__cause__ or error.__context__
        because = f" ({type(cause).__name__}: {cause})" if cause else ""
        raise ConfigError(f"config {path}: {type(error).__name__}: {error}{because}") from error


@contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """Name the config in errors about what it says."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise ConfigError(f"config {path}: {error}") from error
