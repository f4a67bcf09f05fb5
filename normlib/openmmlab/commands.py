"""What the commands ``tools/train.py``, ``tools/test.py`` and ``tools/batch_average.py`` do."""

from __future__ import annotations

import copy
import gc
import os
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.registry import MODELS

from normlib.checkpoint.batch_average import swap_statistics
from normlib.openmmlab import averaged_checkpoint, predictions, processes, sharded, tta_config
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.launch import build_runner, load_config
from normlib.openmmlab.pixel_check import check_pixels
from normlib.openmmlab.pretrained import check_weight_files
from normlib.openmmlab.statistics_pass import StatisticsPass
from normlib.openmmlab.wrappers import bare_model

_AMP = "AmpOptimWrapper"
# Parts of a config that an evaluation has no use for; without them no hook can build them.
_TRAINING = (
    "train_dataloader",
    "train_cfg",
    "optim_wrapper",
    "param_scheduler",
    "val_dataloader",
    "val_cfg",
    "val_evaluator",
)
_EVALUATION = ("test_dataloader", "test_cfg", "test_evaluator")


def train(
    config: str,
    work_dir: str | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    resume: str | None = None,
    options: dict[str, Any] | None = None,
    launcher: str = "none",
) -> None:
    """Train what a config describes.

    Args:
        config: Path of the config.
        work_dir: Where logs and checkpoints go; else the config's, else work_dirs/<config name>.
        amp: Use mixed precision: float16 on GPUs, bfloat16 on the CPU.
        auto_scale_lr: Scale the learning rate with the total batch size.
        resume: A checkpoint to go on from, or 'auto' for the newest whole one of the work directory
            (if there is none, the training begins as without).
        options: Dotted config keys and their values.
        launcher: Who started the processes.

    Raises:
        ConfigError: If the config or an option asks for what cannot be done.
        CheckpointError: If weights are missing or do not fit.
    """
    cfg = load_config(config, options)
    if work_dir is not None:
        cfg.work_dir = work_dir
    if amp:
        _use_amp(cfg)
    if auto_scale_lr:
        if "base_batch_size" not in cfg.get("auto_scale_lr", {}):
            raise ConfigError(
                f"--auto-scale-lr: {config} does not say which batch size its learning rate is "
                "for; add auto_scale_lr = dict(base_batch_size=16)"
            )
        cfg.auto_scale_lr.enable = True
    if resume is not None:
        cfg.resume = "auto" if resume == "auto" else True
        if resume != "auto":
            cfg.load_from = resume
    check_weight_files(cfg)
    check_pixels(cfg)
    build_runner(cfg, launcher).train()


def evaluate(
    config: str,
    checkpoint: str,
    work_dir: str | None = None,
    out: str | None = None,
    show_dir: str | None = None,
    tta: bool = False,
    tta_compare: bool = False,
    options: dict[str, Any] | None = None,
    launcher: str = "none",
) -> dict[str, float]:
    """Evaluate a checkpoint, which must have every weight of the model.

    Args:
        config: Path of the config.
        checkpoint: The weights.
        work_dir: Where the log and metrics go; else the folder ``test`` of the config's, so that
            the record of the training stays as it is.
        out: Write the predictions. Of a detector in COCO format: for ``results.json``,
            ``results.bbox.json`` and, with masks, ``results.segm.json``. Of a segmentor as label
            maps: for a folder, one PNG an image, its labels as those of the data set.
        show_dir: Write the images with their predictions drawn there; in one process only.
        tta: Augment at test time, as the config's tta_model and tta_pipeline say.
        tta_compare: Evaluate without, then with augmentation, and log a table of both. What the
            second evaluation writes goes to folders ``tta`` inside those of the first.
        options: Dotted config keys and their values.
        launcher: Who started the processes.

    Returns:
        The metrics; with ``tta_compare`` those with augmentation too, their names after ``tta/``.

    Raises:
        ConfigError: If the config or an option asks for what cannot be done.
        CheckpointError: If weights are missing or do not fit.
    """
    if tta and tta_compare:
        raise ConfigError("--tta-compare evaluates with augmentation too; leave out --tta")
    cfg = load_config(config, options)
    cfg.work_dir = work_dir or str(Path(cfg.work_dir, "test"))
    _load_alone(cfg, checkpoint)
    _leave_out_training_parts(cfg)
    if show_dir is not None and processes.Place.of(launcher, os.environ).world_size > 1:
        raise ConfigError("--show-dir: mmengine draws in one process only; take tools/test.py")
    runs = [copy.deepcopy(cfg)]
    if tta_compare:
        runs.append(tta_config.beside(cfg))
    if tta or tta_compare:
        tta_config.augment(runs[-1])
    for run, folder in zip(runs, ("", "tta"), strict=False):
        if out is not None:
            predictions.write(run, out, folder)
        if show_dir is not None:
            predictions.draw(run, Path(show_dir, folder))
    metrics = _test(runs[0], launcher)
    if tta_compare:
        gc.collect()  # the model and the workers of the first run
        augmented = _test(runs[1], launcher)
        print_log(tta_config.comparison(metrics, augmented), "current")
        metrics |= {f"tta/{name}": value for name, value in augmented.items()}
    return metrics


def batch_average(
    config: str,
    checkpoint: str,
    out: str | None = None,
    num_batches: int | None = None,
    force: bool = False,
    work_dir: str | None = None,
    options: dict[str, Any] | None = None,
    launcher: str = "none",
) -> Path:
    """Write a checkpoint whose batch statistics are averages over training batches.

    Everything else in it stays; the statistics that it had go to its key ``momentum_statistics``.
    Number and data of the batches are those of the config's ``BatchAverageHook``, if it has one,
    else 200 batches of its ``train_dataloader``.

    Args:
        config: Path of the config.
        checkpoint: The weights, which must have every weight of the model.
        out: The file to write; else ``NAME_batch_average.pth`` beside ``NAME.pth``.
        num_batches: Batches that every process feeds; goes before the config's.
        force: Replace the file if it exists.
        work_dir: Where the log goes; else the folder ``batch_average`` of the config's.
        options: Dotted config keys and their values.
        launcher: Who started the processes.

    Returns:
        The file.

    Raises:
        ConfigError: If the config or an option asks for what cannot be done.
        CheckpointError: If weights are missing or do not fit.
    """
    path = averaged_checkpoint.place_for(checkpoint, out, force)
    cfg = load_config(config, options)
    cfg.work_dir = work_dir or str(Path(cfg.work_dir, "batch_average"))
    hook = _hook_config(cfg, "BatchAverageHook")
    dataloader = hook.get("dataloader") or cfg.get("train_dataloader")
    if num_batches is None:
        num_batches = hook.get("num_batches", 200)
    _load_alone(cfg, checkpoint)
    for key in _EVALUATION:
        cfg.pop(key, None)
    cfg.load_from = None

    runner = build_runner(cfg, launcher)
    runner.call_hook("before_run")
    source = StatisticsPass(runner, num_batches, dataloader)
    loaded = runner.load_checkpoint(checkpoint)
    model = bare_model(runner.model)
    averages = source.run()
    momentum = swap_statistics(model, averages)
    runner.logger.info(averaged_checkpoint.movement(momentum, averages))
    with sharded.whole_state(model):
        if is_main_process():
            averaged_checkpoint.write(path, loaded, model.state_dict(), momentum)
    same = ", with the same --cfg-options" if options else ""
    runner.logger.info(f"written: {path}; evaluate it{same}: python tools/test.py {config} {path}")
    return path


def _load_alone(cfg: Config, checkpoint: str) -> None:
    """Have a run take all its weights from a checkpoint, and train nothing."""
    cfg.resume = False
    cfg.load_from = checkpoint
    cfg.allow_missing_weights = []
    check_pixels(cfg, pretrained=False)
    for key in _TRAINING:
        cfg.pop(key, None)
    if "://" not in checkpoint and not Path(checkpoint).expanduser().is_file():
        raise ConfigError(f"checkpoint {Path(checkpoint).expanduser().absolute()} does not exist")


def _leave_out_training_parts(cfg: Config) -> None:
    """Have the model built without what its class says that training alone needs.

    Of a face model this is the classifier, whose classes an evaluation has nothing to do with.
    """
    model = cfg.get("model") or {}
    kind = model.get("type")
    cls = MODELS.get(kind) if isinstance(kind, str) else kind
    for part in getattr(cls, "for_training_alone", ()):
        if part in model:
            model[part] = None


def _hook_config(cfg: Config, kind: str) -> dict[str, Any]:
    """The config of a hook, empty where the config has none of its kind."""
    hooks = [*(cfg.get("custom_hooks") or []), *(cfg.get("default_hooks") or {}).values()]
    found = (hook for hook in hooks if isinstance(hook, dict) and hook.get("type") == kind)
    return next(found, {})


def _use_amp(cfg: Config) -> None:
    kind = cfg.optim_wrapper.get("type", "OptimWrapper")
    if kind not in ("OptimWrapper", _AMP):
        raise ConfigError(f"--amp: optim_wrapper.type is {kind!r}; it replaces 'OptimWrapper' only")
    cfg.optim_wrapper.type = _AMP
    cfg.optim_wrapper.setdefault("loss_scale", "dynamic")


def _test(cfg: Config, launcher: str) -> dict[str, float]:
    metrics: dict[str, float] = build_runner(cfg, launcher).test()
    return metrics
