"""Videos opened for reading."""

from __future__ import annotations

from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from tasks.video.decoding import open_video


@TRANSFORMS.register_module()
class OpenVideo(BaseTransform):
    """Open a video file, or a folder of frames.

    Required keys: `video_path`.

    Added keys: `video`, a `VideoReader`, which `DecodeFrames` closes, and `total_frames`.

    Args:
        template: What the frames in a folder are called.

    Raises:
        VideoError: The video cannot be read. The message names it.
    """

    def __init__(self, template: str = "img_{:05d}.jpg") -> None:
        self.template = template

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Open the video of one sample."""
        video = results["video"] = open_video(results["video_path"], self.template)
        results["total_frames"] = len(video)
        return results
