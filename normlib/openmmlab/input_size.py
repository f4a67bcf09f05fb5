"""The size of the images that a config's test gives to its model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from mmengine.config import Config
from torch import nn

from normlib.openmmlab.errors import ConfigError


class InputSize(NamedTuple):
    """Size of images, or of clips.

    Attributes:
        height: In pixels.
        width: In pixels.
        frames: Of a clip; None for images.
    """

    height: int
    width: int
    frames: int | None

    def shape(self, batch_size: int) -> tuple[int, ...]:
        """Shape of a batch, (N, 3, H, W) or (N, 3, T, H, W)."""
        time = () if self.frames is None else (self.frames,)
        return (batch_size, 3, *time, self.height, self.width)


def input_size(
    cfg: Config, model: nn.Module, size: tuple[int, int] | None = None, frames: int | None = None
) -> InputSize:
    """The size asked for, or else that which the test pipeline names last.

    Images that keep their aspect ratio get the largest size that they can have, padded as the
    ``data_preprocessor`` pads.

    Args:
        cfg: A config with a ``test_dataloader``, unless all is given.
        model: Its model.
        size: Height and width, which are taken as they are.
        frames: Of a clip; None for what ``SampleFrames`` says, and for images.

    Raises:
        ConfigError: The pipeline names no size, or a number is less than 1.
    """
    steps = next(_pipelines(cfg.get("test_dataloader")), [])
    if frames is None:
        frames = next((step["clip_len"] for step in steps if "clip_len" in step), None)
    if size is None:
        named = [found for step in steps if (found := _named(step))]
        if not named:
            raise ConfigError(
                f"config {cfg.filename}: the pipeline of test_dataloader names no image size; "
                "give --size H W"
            )
        size = _padded(named[-1], model)
    if min(*size, frames or 1) < 1 or frames == 0:
        text = f"--size {size[0]} {size[1]}" + ("" if frames is None else f" --frames {frames}")
        raise ConfigError(f"{text}: all must be 1 or more")
    return InputSize(*size, frames)


def _pipelines(node: Any) -> Iterator[list[dict[str, Any]]]:
    """The pipelines in the config of a loader, outermost first."""
    if isinstance(node, dict):
        if isinstance(node.get("pipeline"), list):
            yield [step for step in node["pipeline"] if isinstance(step, dict)]
        for child in node.values():
            yield from _pipelines(child)
    elif isinstance(node, list | tuple):
        for child in node:
            yield from _pipelines(child)


def _named(step: dict[str, Any]) -> tuple[int, int] | None:
    """Height and width that a transform leaves, None where it says nothing of these."""
    scale = step.get("scale")
    if isinstance(scale, list | tuple) and all(isinstance(side, int) for side in scale):
        width, height = scale
        return height, width
    size = step.get("crop_size", step.get("size"))
    if isinstance(size, int):
        return size, size
    return tuple(size) if isinstance(size, list | tuple) and len(size) == 2 else None


def _padded(size: tuple[int, int], model: nn.Module) -> tuple[int, int]:
    preprocessor = getattr(model, "data_preprocessor", None)
    rules = getattr(preprocessor, "test_cfg", None) or {}
    divisor = rules.get("size_divisor", getattr(preprocessor, "pad_size_divisor", 1)) or 1
    height, width = (math.ceil(side / divisor) * divisor for side in size)
    return height, width
