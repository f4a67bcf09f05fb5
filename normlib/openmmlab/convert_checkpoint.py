"""What the command ``tools/convert_checkpoint.py`` does."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from normlib.checkpoint import released, saving
from normlib.checkpoint.known_pixels import pixels_of
from normlib.checkpoint.pixel_format import PixelFormat
from normlib.checkpoint.released_report import report
from normlib.openmmlab.errors import CheckpointError, ConfigError
from normlib.openmmlab.launch import load_config
from normlib.openmmlab.pretrained import load_weights, weights_in
from normlib.openmmlab.safe_loading import load_file


def convert_checkpoint(
    sources: Sequence[str],
    out: str,
    config: str | None = None,
    backbone: bool = False,
    harden: bool = False,
    force: bool = False,
    verbose: bool = False,
) -> str:
    """Rewrite released checkpoints under this project's keys and shapes.

    Where the names of the files tell which pixels they were trained on, ``out`` says so too.

    Args:
        sources: The files; several, such as encoder and decoder, make one.
        out: The file to write, ``.pth`` or ``.safetensors``; it is whole or absent.
        config: Check the result against the model of this config before it is written.
        backbone: Write the backbone alone, its keys without ``backbone.``.
        harden: Make every ratio one-hot at its largest entry.
        force: Replace an existing file.
        verbose: Report every key on a line of its own.

    Returns:
        The report.

    Raises:
        CheckpointError: A file cannot be read or converted, does not fit the config's model, or
            belongs to other pixels than the one before it.
        ConfigError: The config cannot be read.
        ReleasedFileError: A file is not a released one.
        OutputError: ``out`` cannot be written.
    """
    saving.check_output(Path(out), force)
    state: OrderedDict[str, Tensor] = OrderedDict()
    reports = []
    pixels: dict[PixelFormat, str] = {}
    for source in sources:
        conversion = released.convert(_weights(source), source, plain=True)
        if twice := sorted(set(state) & set(conversion.state)):
            raise CheckpointError(
                f"{source} and a file before it both hold {twice[0]} and {len(twice) - 1} more; "
                "files are put together only where each holds a part"
            )
        state.update(conversion.state)
        reports.append(report(conversion, source, verbose))
        if (found := pixels_of(source)) is not None:
            reports.append(f"  it was trained on pixels of {found}")
            pixels[found] = source
    if len(pixels) > 1:
        told = ", ".join(f"{source} on {found}" for found, source in pixels.items())
        raise CheckpointError(f"the files were trained on other pixels than each other: {told}")
    if backbone:
        state = _backbone(state)
    if harden:
        state = released.hardened(state)
        reports.append("every ratio is one-hot at its largest entry (--harden)")
    if config is not None:
        reports.append(_check(state, config, backbone, ", ".join(sources)))
    records = [dataclasses.asdict(found) for found in pixels]
    saving.save(state, Path(out), force, {"pixels": records[0]} if records else None)
    reports.append(f"wrote {out}: {len(state)} weights" + _use(backbone))
    return "\n".join(reports)


def _weights(source: str) -> dict[str, Tensor]:
    checkpoint = load_file(source, "cpu")
    weights = weights_in(checkpoint)
    if weights is None:
        raise CheckpointError(f"checkpoint {source} holds no state dict")
    return dict(weights)


def _backbone(state: OrderedDict[str, Tensor]) -> OrderedDict[str, Tensor]:
    start = "backbone."
    part = OrderedDict(
        (key.removeprefix(start), value) for key, value in state.items() if key.startswith(start)
    )
    if not part:
        raise CheckpointError(f"--backbone: the file has none; its keys are {list(state)[:8]}")
    return part


def _check(state: OrderedDict[str, Tensor], config: str, backbone: bool, source: str) -> str:
    cfg = load_config(config, needs_data=False)
    model = _model(cfg)
    part = model.get_submodule("backbone") if backbone else model
    load_weights(part, state, source, cfg.get("allow_missing_weights") or ())
    left = len(set(state) - set(part.state_dict()))
    kind = f"the backbone of {config}" if backbone else config
    return f"fits {kind}: no weight is missing, {left} are left over"


def _model(cfg: Config) -> nn.Module:
    if not cfg.get("model"):
        raise ConfigError(f"config {cfg.filename} has no model")
    init_default_scope(cfg.get("default_scope", "mmengine"))
    model: nn.Module = MODELS.build(cfg.model)
    return model


def _use(backbone: bool) -> str:
    prefix = "" if backbone else ", prefix='backbone.'"
    return f"; for a backbone, init_cfg=dict(type='Pretrained', checkpoint=...{prefix})"
