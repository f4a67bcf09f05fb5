"""Checkpoints that hold averaged batch statistics: where they go, what they hold, what moved."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.runner.checkpoint import weights_to_cpu
from torch import Tensor

from normlib.checkpoint.batch_average import MOMENTUM_STATISTICS
from normlib.checkpoint.saving import replacing
from normlib.openmmlab.errors import ConfigError


def place_for(checkpoint: str, out: str | None = None, force: bool = False) -> Path:
    """The file to write, once it is sure that it may be written.

    Args:
        checkpoint: What is read: a path, a URL or a model zoo name.
        out: The file to write; else ``NAME_batch_average.pth`` beside ``NAME.pth``.
        force: Whether it may replace another file.

    Raises:
        ConfigError: It would replace a file that it may not, or its folder cannot be written.
    """
    source = Path(checkpoint).expanduser()
    if out is None and "://" in checkpoint:
        raise ConfigError(f"{checkpoint} is no file to write beside: name one with --out FILE")
    path = Path(out).expanduser() if out else source.with_name(f"{source.stem}_batch_average.pth")
    if path.resolve() == source.resolve():
        raise ConfigError(f"--out {path}: that is the checkpoint to read; name another file")
    if path.is_dir():
        raise ConfigError(f"--out {path} is a folder; name a file")
    if path.exists() and not force:
        raise ConfigError(f"{path} exists: replace it with --force, or name another with --out")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise ConfigError(f"{path} cannot be written: no files can be made in {folder}")
    return path


def write(
    path: Path, loaded: Any, weights: Mapping[str, Tensor], momentum: Mapping[str, Tensor]
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: The file.
        loaded: The checkpoint that the model was loaded from; what it holds besides weights stays.
        weights: State dict of the model, averages included.
        momentum: What these have replaced. Momentum statistics that the checkpoint has already set
            aside go before.

    Raises:
        ConfigError: The file cannot be written.
    """
    rest = dict(loaded) if "state_dict" in loaded else {}
    rest["state_dict"] = weights_to_cpu(weights)
    kept = {name: value.cpu() for name, value in momentum.items()}
    rest[MOMENTUM_STATISTICS] = kept | rest.get(MOMENTUM_STATISTICS, {})
    try:
        with replacing(path) as scratch:
            torch.save(rest, scratch)
    except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{path} could not be written: {reason}") from error


def movement(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> str:
    """A table of how far statistics have moved, over all channels of all layers.

    Means are measured in standard deviations before, variances in their value before.

    Args:
        before: Statistics by buffer name, running means and variances of each layer.
        after: Others by the same names.
    """
    if not before:
        return "batch average: no layer uses batch statistics, so that nothing has changed"
    changes: dict[str, dict[str, Tensor]] = {"mean": {}, "variance": {}}
    for name, old in before.items():
        layer, _, kind = name.rpartition("running_")
        var = before[f"{layer}running_var"].double().cpu()
        scale = var.sqrt() if kind == "mean" else var
        moved = (after[name] - old).double().cpu().abs() / scale.clamp(min=1e-12)
        changes["mean" if kind == "mean" else "variance"][layer.rstrip(".")] = moved
    rows = [("statistics", "median change", "largest change", "of layer")]
    for kind, unit in (("mean", "std"), ("variance", "of it")):
        by_layer = changes[kind]
        where = max(by_layer, key=lambda layer: by_layer[layer].max().item())
        median = torch.cat(list(by_layer.values())).median().item()
        largest = by_layer[where].max().item()
        rows.append((kind, f"{median:.3g} {unit}", f"{largest:.3g} {unit}", where))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return f"what averaging has moved, over {len(changes['mean'])} layers:\n" + "\n".join(lines)
