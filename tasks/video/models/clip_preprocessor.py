"""Clips on their way into a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import MODELS
from torch import Tensor

from .errors import ModelError


@MODELS.register_module()
class ClipDataPreprocessor(BaseDataPreprocessor):
    """Moves clips to the device as bytes, and normalises those that the model asks for.

    The views of a test video are many times what a training clip takes: the model normalises them
    by parts.

    Args:
        mean: Of red, green and blue, or in the order that ``rgb_to_bgr`` makes.
        std: Likewise.
        rgb_to_bgr: Turn the order of channels, for weights trained so.
        channels_last: Give clips that lie in memory with their channels last.
        non_blocking: Whether copies to the device may overlap with computation.
    """

    #: The order of channels that clips are loaded in.
    loaded_order = "RGB"

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        rgb_to_bgr: bool = False,
        channels_last: bool = False,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking)
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ModelError(
                f"model.data_preprocessor: mean is {list(mean)}, std {list(std)}; both are three "
                "numbers, those of std above 0"
            )
        self.rgb_to_bgr = rgb_to_bgr
        self.channels_last = channels_last
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32), persistent=False)

    def forward(self, data: Any, training: bool = False) -> Any:
        """Move a batch to the device.

        Args:
            data: ``inputs``, uint8 of shape (N, views, T, H, W, 3), red first, and
                ``data_samples``, labels of shape (N,).
            training: Not used.
        """
        return self.cast_data(data)

    def normalize(self, clips: Tensor) -> Tensor:
        """Pixels as the model wants them.

        Args:
            clips: uint8 of shape (N, T, H, W, 3), red first.

        Returns:
            float32 of shape (N, 3, T, H, W).
        """
        clips = clips.flip(-1) if self.rgb_to_bgr else clips
        scale = 1 / self.std
        pixels = torch.addcmul(-self.mean * scale, clips.float(), scale).permute(0, 4, 1, 2, 3)
        return pixels if self.channels_last else pixels.contiguous()
