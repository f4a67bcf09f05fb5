"""What the model gets of a sample."""

from __future__ import annotations

from typing import Any

import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackImageClass(BaseTransform):
    """Keep the image as `inputs` and its class as `data_samples`, for the default collation."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack one sample."""
        return {"inputs": results["img"], "data_samples": torch.tensor(results["label"])}
