"""What a model's data preprocessor does to pixels, as a part of a graph and in words."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from normlib.openmmlab.errors import ConfigError


class Pixels(nn.Module):
    """Reversal of channels and normalisation, for images of shape (N, C, H, W).

    Args:
        preprocessor: A data preprocessor of mmengine, mmdet or mmseg, or derived from these.

    Attributes:
        mean, std: Shape (C, 1, 1) or (1, 1, 1), None where nothing is normalised.
        reverse: Whether red and blue change places before.

    Raises:
        ConfigError: It is of another kind.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(self, preprocessor: nn.Module) -> None:
        super().__init__()
        kind = type(preprocessor).__name__
        plain = type(preprocessor) is BaseDataPreprocessor
        if not plain and not hasattr(preprocessor, "_enable_normalize"):
            raise ConfigError(
                f"the data_preprocessor is a {kind}, which is not known to do no more than to "
                "normalise images; export without --preprocess, for images that it has prepared"
            )
        normalises = getattr(preprocessor, "_enable_normalize", False)
        for name in ("mean", "std"):
            value = getattr(preprocessor, name).clone() if normalises else None
            self.register_buffer(name, value)
        self.reverse = any(
            getattr(preprocessor, name, False)
            for name in ("_channel_conversion", "channel_conversion")  # mmengine's, mmseg's
        )

    def forward(self, images: Tensor) -> Tensor:
        """Normalise images."""
        if self.reverse:
            images = images.flip(1)
        if self.mean is not None and self.std is not None:
            images = (images - self.mean) / self.std
        return images


def in_words(preprocessor: nn.Module) -> str:
    """What a data preprocessor does to images, as far as it is known."""
    try:
        pixels = Pixels(preprocessor)
    except ConfigError:
        return f"what {type(preprocessor).__name__} gives"
    steps = ["channels reversed"] if pixels.reverse else []
    if pixels.mean is not None and pixels.std is not None:
        mean, std = (
            "[" + ", ".join(f"{value:g}" for value in vector.flatten().tolist()) + "]"
            for vector in (pixels.mean, pixels.std)
        )
        steps.append(f"minus {mean}, divided by {std}")
    return ", ".join(steps) or "as they are"


def padding_of(preprocessor: nn.Module) -> str | None:
    """How a data preprocessor pads images in evaluation, None if it does not."""
    rules: dict[str, Any] = getattr(preprocessor, "test_cfg", None) or {}
    divisor = rules.get("size_divisor", getattr(preprocessor, "pad_size_divisor", 1)) or 1
    if rules.get("size"):
        target = f"{rules['size'][0]} x {rules['size'][1]}"
    elif divisor > 1:
        target = f"multiples of {divisor}"
    else:
        return None
    value = getattr(preprocessor, "pad_value", getattr(preprocessor, "pad_val", 0))
    return f"to {target}, right and below, with {value:g} after the normalisation"
