"""Weights trained on pixels of one form, fed with another: found before anything is built."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from normlib.checkpoint.known_pixels import pixels_of
from normlib.checkpoint.pixel_format import PixelFormat, Vector
from normlib.checkpoint.saving import read_meta
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.pretrained import pretrained_configs

_LOADERS = {
    "LoadImageFromFile": "BGR",
    "LoadImageChecked": "BGR",
    "LoadImageTensor": "RGB",
    "DecodeFrames": "RGB",
}
_COLOURS = ("color", "color_ignore_orientation")
# Transforms that leave pixels of another range than 0 to 255.
_RESCALING = {"Normalize", "ToDtype", "ToTensor", "ConvertImageDtype"}
_PREPROCESSORS = {
    "ImgDataPreprocessor",
    "DetDataPreprocessor",
    "SegDataPreProcessor",
    "ClipDataPreprocessor",
}
_MEAN_TOLERANCE = 1.5
_STD_TOLERANCE = 0.02


def check_pixels(cfg: Config, pretrained: bool = True) -> None:
    """Compare the pixels that a model gets with those that its weights were trained on.

    Looked at are the checkpoints whose pixels are known by their name
    (:func:`normlib.checkpoint.known_pixels.pixels_of`) or recorded in the file, as
    ``tools/convert_checkpoint.py`` does; the data preprocessors of mmengine, mmdet, mmseg and of
    videos, and pipelines that load images with their transforms, with ``LoadImageTensor`` or, for
    videos, with ``DecodeFrames``. Anything else passes. ``allow_other_pixels = True`` at the top
    level of the config turns the error into a line of the log.

    Args:
        cfg: The config of the run.
        pretrained: Whether the run reads the weights that ``init_cfg`` and ``pretrained`` name in
            the model, as a training does, besides those of ``load_from``.

    Raises:
        ConfigError: They differ: by the order of channels, by more than 1.5 in a mean, or by more
            than 2 % in a standard deviation.
    """
    allowed = cfg.get("allow_other_pixels", False)
    if not isinstance(allowed, bool):
        raise ConfigError(f"allow_other_pixels is {allowed!r}; it must be True or False")
    loader, order = _loading(cfg)
    given = None if order is None else _given(cfg, order)
    if order is None or given is None:
        return
    told = set()
    for key, source in _sources(cfg, pretrained):
        expected = pixels_of(source) or _recorded(source)
        if source in told or expected is None or _same(expected, given):
            continue
        told.add(source)
        text = f"{key} = {source!r} was trained on {expected}, but the model gets {given}"
        if not allowed:
            raise ConfigError(
                f"config {cfg.filename or ''}: {text} ({loader} loads {order}, data_preprocessor "
                f"does the rest). Write model.data_preprocessor = dict({_remedy(expected, order)}),"
                " or allow_other_pixels = True if this is meant"
            )
        print_log(f"{text} (allow_other_pixels)", "current")


def _sources(cfg: Config, pretrained: bool) -> Iterator[tuple[str, str]]:
    """Config key and name of every checkpoint that the run reads."""
    model = cfg.get("model") or {}
    found: list[tuple[str, Any]] = [("load_from", cfg.get("load_from"))]
    if pretrained:
        backbone = model.get("backbone") or {}
        found += [
            ("model.pretrained", model.get("pretrained")),
            ("model.backbone.pretrained", backbone.get("pretrained")),
        ]
        for key, init_cfg in pretrained_configs(model, "model"):
            found.append((f"{key}.checkpoint", init_cfg.get("checkpoint")))
    yield from ((key, source) for key, source in found if isinstance(source, str))


def _recorded(source: str) -> PixelFormat | None:
    path = Path(source).expanduser()
    return PixelFormat.from_record(read_meta(path).get("pixels")) if path.is_file() else None


def _given(cfg: Config, order: str) -> PixelFormat | None:
    """What the data preprocessor makes of images loaded in an order of channels."""
    model = cfg.get("model") or {}
    own = "data_preprocessor" in model
    steps = (model if own else cfg).get("data_preprocessor") or {}
    if _name(steps) not in _PREPROCESSORS:
        return None
    if steps.get("bgr_to_rgb") or steps.get("rgb_to_bgr"):
        order = order[::-1]
    mean, std = _vector(steps.get("mean"), 0.0), _vector(steps.get("std"), 1.0)
    return None if mean is None or std is None else PixelFormat(order, mean, std)


def _vector(values: Any, default: float) -> Vector | None:
    if values is None:
        return (default,) * 3
    return (float(values[0]), float(values[1]), float(values[2])) if len(values) == 3 else None


def _loading(cfg: Config) -> tuple[str, str | None]:
    """The transform that loads the images, and the order of channels that it leaves, if known."""
    for key in ("train_dataloader", "test_dataloader"):
        loader = cfg.get(key) or {}
        for pipeline in _pipelines(loader.get("dataset")):
            steps = [step for step in pipeline if isinstance(step, dict)]
            names = [_name(step) for step in steps]
            if _RESCALING & set(names):
                return "", None
            for step, name in zip(steps, names, strict=True):
                loads = name.startswith("Load") and "Annotation" not in name
                if loads or name in _LOADERS:
                    coloured = step.get("color_type", "color") in _COLOURS
                    return name, _LOADERS.get(name) if coloured else None
    return "", None


def _pipelines(dataset: Any) -> Iterator[list[Any]]:
    """Pipelines of a data set, the innermost first, through wrappers."""
    if not isinstance(dataset, dict):
        return
    inner = dataset.get("datasets") or [dataset.get("dataset")]
    for entry in inner if isinstance(inner, list | tuple) else [inner]:
        yield from _pipelines(entry)
    if isinstance(dataset.get("pipeline"), list | tuple):
        yield list(dataset["pipeline"])


def _name(part: dict[str, Any]) -> str:
    """Name of a part's class, without the scope or package before it."""
    kind = part.get("type", "")
    name = kind.__name__ if inspect.isclass(kind) else str(kind)
    return name.replace("/", ".").rpartition(".")[2]


def _same(one: PixelFormat, other: PixelFormat) -> bool:
    means = zip(one.mean, other.mean, strict=True)
    stds = zip(one.std, other.std, strict=True)
    return (
        one.order == other.order
        and all(abs(a - b) <= _MEAN_TOLERANCE for a, b in means)
        and all(abs(a - b) <= _STD_TOLERANCE * a for a, b in stds)
    )


def _remedy(wanted: PixelFormat, loaded: str) -> str:
    """Arguments of a data preprocessor that turns loaded images into the wanted form."""
    to_rgb, to_bgr = (order == wanted.order != loaded for order in ("RGB", "BGR"))
    return (
        f"mean={list(wanted.mean)}, std={list(wanted.std)}, bgr_to_rgb={to_rgb}, "
        f"rgb_to_bgr={to_bgr}"
    )
