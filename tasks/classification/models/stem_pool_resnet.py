"""mmdet's ResNet with the stem pooling of the released sparse models."""

from __future__ import annotations

from typing import Any

from mmdet.models.backbones import ResNet
from mmengine.registry import MODELS
from torch import nn

from .errors import ModelError


@MODELS.register_module()
class StemPoolResNet(ResNet):
    """ResNet v1 whose stem pools as a released model does.

    The released SN models pool with a padding of 1, as mmdet's and torchvision's ResNets do; the
    released SSN models pool without padding and round up. For images of 224 x 224 both give maps of
    56 x 56, shifted by a pixel: the weights fit either, the figures only their own.

    Args:
        stem_pool: `'pad'` for a padding of 1, `'ceil'` for no padding and rounding up.
        **kwargs: Arguments of mmdet's ResNet.
    """

    def __init__(self, *, stem_pool: str = "pad", **kwargs: Any) -> None:
        if stem_pool not in ("pad", "ceil"):
            raise ModelError(f"model.backbone.stem_pool is {stem_pool!r}; it is 'pad' or 'ceil'")
        super().__init__(**kwargs)
        if stem_pool == "ceil":
            self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=0, ceil_mode=True)
