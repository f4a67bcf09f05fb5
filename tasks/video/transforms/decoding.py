"""Clips from opened videos."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class DecodeFrames(BaseTransform):
    """Decode the frames of all clips, each frame once, and close the video.

    Required keys: `video`, which is removed, and `frame_indices`, int64 of shape (clips, T).

    Added keys: `clips`, uint8 of shape (clips, T, H, W, 3), red first.

    Raises:
        VideoError: The video cannot be decoded. The message names it.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Decode the clips of one sample."""
        indices = results["frame_indices"]
        wanted, places = np.unique(indices, return_inverse=True)
        with results["video"] as video:
            frames = video.read(wanted)
        del results["video"]
        if not np.array_equal(wanted, indices.ravel()):
            frames = frames[places.ravel()]
        results["clips"] = frames.reshape(*indices.shape, *frames.shape[1:])
        return results
