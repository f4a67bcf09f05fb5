"""What the command ``tools/export_model.py`` does: from a config and a checkpoint to one graph."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from normlib.analysis.stopwatch import ratio, time_interleaved
from normlib.checkpoint.export import FORMATS, Exported, check_request, export
from normlib.checkpoint.exported import ExportError, UnwritableError, run_exported
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.launch import load_config
from normlib.openmmlab.network import WholeModel, build_network, part_of
from normlib.openmmlab.pixels import Pixels, in_words, padding_of

_ROUNDS = 11
_LISTED = 3
_HINT = (
    "Detectors that propose boxes, and models that need more than images, are no single graph; "
    "export a part that maps images to tensors, with --module backbone"
)


class Speed(NamedTuple):
    """Median milliseconds for the example, and medians of the ratio to the model as it was."""

    milliseconds: dict[str, float]
    ratios: dict[str, float]


def export_model(
    config: str,
    checkpoint: str,
    format: str,
    out: str | None = None,
    size: tuple[int, int] = (224, 224),
    module: str | None = None,
    preprocess: bool = False,
    force: bool = False,
    options: dict[str, Any] | None = None,
) -> str:
    """Write a trained model, or a part of it, as an ONNX file or an exported program.

    Of data sets the classes alone are read, where they are there. The model is recorded on two
    random images on the CPU, in float32.

    Args:
        config: Path of the config.
        checkpoint: The weights, which must have every weight of the model.
        format: ``'onnx'`` or ``'torch_export'``.
        out: The file; else the checkpoint's name with another suffix, beside it (a URL's: in the
            current folder).
        size: Height and width of the images to record with.
        module: Dotted name of the part to export, such as ``'backbone'``.
        preprocess: Take images as the data set gives them, and have the graph do what the
            ``data_preprocessor`` does to pixels.
        force: Replace the file if it exists.
        options: Dotted config keys and their values.

    Returns:
        What was done, for the user.

    Raises:
        ConfigError: If the config or an option asks for what cannot be done.
        CheckpointError: If weights are missing or do not fit.
    """
    path = _path(checkpoint, format, out, module)
    try:
        check_request(path, format, force)
    except ExportError as error:
        raise ConfigError(f"{error} (--out, --force)" if path.exists() else str(error)) from error
    if min(size) < 1:
        raise ConfigError(f"--size {size[0]} {size[1]}: height and width must be 1 or more")
    network = build_network(load_config(config, options, needs_data=False), checkpoint)
    preprocessor = network.get_submodule("data_preprocessor")
    part = _OnImages(
        WholeModel(network) if module is None else part_of(network, module),
        Pixels(preprocessor) if preprocess else None,
    )
    part.eval()
    shape = (2, 3, *size)
    example = torch.randint(256, shape).float() if preprocess else torch.randn(shape)
    try:
        exported = export(part, example, path, format, overwrite=force)
    except ExportError as error:
        what = f"{config}{f', {module}' if module else ''}"
        hint = "" if isinstance(error, UnwritableError) else f". {_HINT}"
        raise ConfigError(f"{what} cannot be exported: {error}{hint}") from error
    lines = [
        f"{path}: {path.stat().st_size / 2**20:.1f} MiB, {format}",
        *_about_norms(exported),
        _about_agreement(exported),
        *_about_input(exported),
        *_about_pixels(preprocessor, preprocess),
        _about_speed(_speed(part, exported, example, format), example),
    ]
    return "\n".join(lines)


class _OnImages(nn.Module):
    """A part of a model as a function of images alone."""

    def __init__(self, part: nn.Module, pixels: Pixels | None) -> None:
        super().__init__()
        self.pixels = pixels
        self.part = part

    def forward(self, input: Tensor) -> Any:
        if self.pixels is not None:
            input = self.pixels(input)
        return self.part(input)


def _path(checkpoint: str, format: str, out: str | None, module: str | None) -> Path:
    if out is not None:
        return Path(out).expanduser()
    remote = "://" in checkpoint
    source = Path(Path(checkpoint).name if remote else Path(checkpoint).expanduser())
    suffix = FORMATS.get(format, "")
    return source.with_name(source.stem + (f".{module}" if module else "") + suffix)


def _speed(part: nn.Module, exported: Exported, example: Tensor, format: str) -> Speed:
    runs: dict[str, Callable[[Tensor], Any]] = {
        "as trained": part,
        "folded": exported.folded.model,
        "the file": run_exported(exported.path, format),
    }
    with torch.no_grad():
        times = time_interleaved(
            {name: partial(run, example) for name, run in runs.items()},
            torch.device("cpu"),
            _ROUNDS,
        )
    return Speed(
        {name: 1e3 * statistics.median(seconds) for name, seconds in times.items()},
        {name: ratio(seconds, times["as trained"]) for name, seconds in times.items()},
    )


def _about_norms(exported: Exported) -> list[str]:
    folded, kept = exported.folded.convolutions, exported.folded.kept
    count = len(folded) + len(kept)
    if not count:
        return ["switchable norms: none"]
    reasons = defaultdict(list)
    for name, reason in kept.items():
        reasons[reason].append(name.removeprefix("part.").removeprefix("model."))
    lines = [f"switchable norms: {len(folded)} of {count} folded into convolutions"]
    for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        lines.append(f"  {len(names)} kept: {reason} ({', '.join(names[:_LISTED])}{more})")
    return lines


def _about_agreement(exported: Exported) -> str:
    agreement = exported.agreement
    return (
        f"largest difference from the model, run back on {len(agreement.shapes)} shapes of input: "
        f"{agreement.difference:.1e} of the largest output"
    )


def _about_input(exported: Exported) -> list[str]:
    agreement = exported.agreement
    samples, channels, height, width = agreement.shapes[0]
    if agreement.multiple is None:
        sizes = f"only {height} x {width}"
    elif agreement.multiple == 1:
        sizes = "any that the model takes"
    else:
        sizes = f"multiples of {agreement.multiple}; others fail, or may give other results"
    batch = "any" if agreement.any_batch else f"only {samples}"
    return [
        f"input: float32 (batch, {channels}, height, width)",
        f"  batch size: {batch}; image size: {sizes}",
    ]


def _about_pixels(preprocessor: nn.Module, inside: bool) -> list[str]:
    steps, padding = in_words(preprocessor), padding_of(preprocessor)
    text = (
        f"  pixels: 0 to 255, channels as the data set gives them; in the graph: {steps}"
        if inside
        else f"  pixels: normalised as in training ({steps}; --preprocess puts this into the graph)"
    )
    return [text, f"  padding, not in the graph: {padding}"] if padding else [text]


def _about_speed(speed: Speed, example: Tensor) -> str:
    parts = [
        f"{name} {milliseconds:.1f} ms ({speed.ratios[name]:.2f})"
        for name, milliseconds in speed.milliseconds.items()
    ]
    shape = " x ".join(map(str, example.shape))
    return (
        f"speed on {shape}, CPU, {torch.get_num_threads()} threads, median of {_ROUNDS} "
        f"interleaved rounds: {', '.join(parts)}"
    )
