"""torchvision's transforms under their names, as `dict(type='torchvision/RandomResizedCrop', ...)`.

They are applied to `img`, a uint8 tensor of shape (3, H, W).
"""

from __future__ import annotations

from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from torchvision.transforms import v2

_NAMES = (
    "AutoAugment",
    "CenterCrop",
    "ColorJitter",
    "Grayscale",
    "Pad",
    "RandAugment",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "TrivialAugmentWide",
)


class _OnImage(BaseTransform):
    """Applies a transform of torchvision to the image of a sample."""

    transform_class: type[v2.Transform]

    def __init__(self, **kwargs: Any) -> None:
        self._transform = self.transform_class(**kwargs)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        results["img"] = self._transform(results["img"])
        return results

    def __repr__(self) -> str:
        return repr(self._transform)


for _name in _NAMES:
    _class = type(_name, (_OnImage,), {"transform_class": getattr(v2, _name)})
    TRANSFORMS.register_module(f"torchvision/{_name}", module=_class)
