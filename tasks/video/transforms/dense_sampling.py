"""Clips that lie close together."""

from __future__ import annotations

import random

import numpy as np
from mmengine.registry import TRANSFORMS

from .arguments import whole_number
from .sampling import SampleFrames


@TRANSFORMS.register_module()
class DenseSampleFrames(SampleFrames):
    """Choose clips within a stretch of the video, as `DenseSampleFrames` of mmaction2.

    A stretch has `sample_range` frames; the `num_clips` clips in it begin `sample_range //
    num_clips` frames apart. Training draws one stretch; tests take `num_sample_positions` of them,
    spread evenly from the beginning to the end of the video and rounded down, which gives
    `num_sample_positions * num_clips` clips. In a video shorter than a stretch, all begin with the
    video.

    Required keys: `total_frames`.

    Added keys: `frame_indices`, int64 of shape (clips, clip_len).

    Args:
        clip_len: Frames of a clip.
        frame_interval: Distance of two frames of a clip.
        num_clips: Clips of a stretch.
        sample_range: Frames of a stretch.
        num_sample_positions: Stretches of a video in tests.
        test_mode: Whether the stretches are spread evenly.
        out_of_bound: What follows the last frame of a video, see `SampleFrames`.
    """

    def __init__(
        self,
        clip_len: int,
        frame_interval: int = 1,
        num_clips: int = 1,
        sample_range: int = 64,
        num_sample_positions: int = 10,
        test_mode: bool = False,
        out_of_bound: str = "loop",
    ) -> None:
        super().__init__(
            clip_len, frame_interval, num_clips, test_mode=test_mode, out_of_bound=out_of_bound
        )
        name = type(self).__name__
        self.sample_range = whole_number(name, "sample_range", sample_range, num_clips)
        self.num_sample_positions = whole_number(name, "num_sample_positions", num_sample_positions)

    def _by_number(self, total: int) -> np.ndarray:
        latest = max(total - self.sample_range, 0)
        if self.test_mode:
            stretches = np.linspace(0, latest, self.num_sample_positions).astype(np.int64)
        else:
            stretches = np.array([random.randint(0, latest)])
        offsets = np.arange(self.num_clips) * (self.sample_range // self.num_clips)
        starts = (stretches[:, None] + offsets).reshape(-1, 1) % total
        return self._within(starts + np.arange(self.clip_len) * self.frame_interval, total)
