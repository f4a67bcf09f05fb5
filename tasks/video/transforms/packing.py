"""What the model gets of a video."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackClips(BaseTransform):
    """Keep the clips as `inputs` and the class as `data_samples`, for the default collation.

    `inputs` is uint8 of shape (views, T, H, W, 3), contiguous, `data_samples` an int64 scalar.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack one sample."""
        clips = np.ascontiguousarray(results["clips"])
        return {"inputs": torch.from_numpy(clips), "data_samples": torch.tensor(results["label"])}
