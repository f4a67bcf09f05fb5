"""Which frames of a video make its clips."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from tasks.data_checks import DatasetError

from .arguments import whole_number

_OUT_OF_BOUND = ("loop", "repeat_last")


@TRANSFORMS.register_module()
class SampleFrames(BaseTransform):
    """Choose clips of frames at a regular distance.

    A clip that begins at frame `s` has the frames `s + k * frame_interval`, `k` from 0 to
    `clip_len - 1`, and may begin wherever its last frame is still in the video. In training these
    beginnings are cut into `num_clips` equal ranges, and each range gives one at random, as
    `SampleFrames` of mmaction2 does (which leaves out the last `frame_interval - 1` beginnings). In
    tests the clips are spread evenly: the first begins with the video, the last ends with it, and
    beginnings between are rounded; a single clip lies in the middle.

    With `target_fps` the same is done in seconds, so that the speed of motion does not depend on
    the frame rate, nor on how regular it is: the frames are those nearest to `s + k *
    frame_interval / target_fps`, the earlier of two that are as near.

    Every clip of a video that is shorter than a clip begins with the video.

    Required keys: `total_frames`; with `target_fps` also `video`, a reader with `times`.

    Added keys: `frame_indices`, int64 of shape (clips, clip_len).

    Args:
        clip_len: Frames of a clip.
        frame_interval: Distance of two frames of a clip, in frames of the video, or of a video of
            `target_fps`.
        num_clips: Clips of a video.
        test_mode: Whether the clips are spread evenly.
        target_fps: Frames per second that the distance is meant for; None takes those of the video.
        out_of_bound: What follows the last frame of a video that is too short: `loop`, its first
            frame, or `repeat_last`, the last one again.

    Raises:
        DatasetError: `target_fps` is given for a folder of frames, which has no time stamps.
    """

    def __init__(
        self,
        clip_len: int,
        frame_interval: int = 1,
        num_clips: int = 1,
        test_mode: bool = False,
        target_fps: float | None = None,
        out_of_bound: str = "loop",
    ) -> None:
        name = type(self).__name__
        self.clip_len = whole_number(name, "clip_len", clip_len)
        self.frame_interval = whole_number(name, "frame_interval", frame_interval)
        self.num_clips = whole_number(name, "num_clips", num_clips)
        self.test_mode = test_mode
        if target_fps is not None and not target_fps > 0:
            raise ValueError(
                f"{name} has target_fps={target_fps!r}; it is a number of frames per second, or "
                "None for the frame rate of the video"
            )
        self.target_fps = target_fps
        if out_of_bound not in _OUT_OF_BOUND:
            raise ValueError(
                f"{name} has out_of_bound={out_of_bound!r}; it is one of {', '.join(_OUT_OF_BOUND)}"
            )
        self.out_of_bound = out_of_bound

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Choose the clips of one sample."""
        if self.target_fps is None:
            indices = self._by_number(results["total_frames"])
        else:
            indices = self._by_time(_times(results), self.target_fps)
        results["frame_indices"] = indices
        return results

    def _by_number(self, total: int) -> np.ndarray:
        latest = max(total - 1 - (self.clip_len - 1) * self.frame_interval, 0)
        steps = np.arange(self.clip_len) * self.frame_interval
        return self._within(self._starts(latest)[:, None] + steps, total)

    def _starts(self, latest: int) -> np.ndarray:
        """The first frame of every clip, the last possible one being `latest`."""
        if self.test_mode:
            if self.num_clips == 1:
                return np.array([latest // 2])
            return np.linspace(0, latest, self.num_clips).round().astype(np.int64)
        return (self._draws() * (latest + 1)).astype(np.int64)

    def _by_time(self, times: np.ndarray, fps: float) -> np.ndarray:
        distance = self.frame_interval / fps
        latest = max(times[-1] - (self.clip_len - 1) * distance, 0.0)
        if not self.test_mode:
            starts = self._draws() * latest
        elif self.num_clips == 1:
            starts = np.array([latest / 2])
        else:
            starts = np.linspace(0, latest, self.num_clips)
        wanted = starts[:, None] + np.arange(self.clip_len) * distance
        if self.out_of_bound == "loop":
            # The last frame is shown as long as the others are on average.
            length = times[-1] * len(times) / max(len(times) - 1, 1)
            # The last frame itself must not become the first by the rounding of floats.
            over = wanted > times[-1] + 1e-6
            wanted[over] = wanted[over] % length if length else 0
        after = np.searchsorted(times, wanted).clip(max=len(times) - 1)
        before = (after - 1).clip(min=0)
        return np.where(wanted - times[before] <= times[after] - wanted, before, after)

    def _draws(self) -> np.ndarray:
        """One number from 0 up to 1 from every range of `num_clips` equal ones."""
        draws = np.array([random.random() for _ in range(self.num_clips)])
        return (np.arange(self.num_clips) + draws) / self.num_clips

    def _within(self, indices: np.ndarray, total: int) -> np.ndarray:
        """Frames that exist, for those that may lie behind the last."""
        return indices % total if self.out_of_bound == "loop" else indices.clip(max=total - 1)


def _times(results: dict[str, Any]) -> np.ndarray:
    times = results["video"].times
    if times is None:
        raise DatasetError(
            f"{results.get('video_path')} has no time stamps, as it is a folder of frames; leave "
            "target_fps out of SampleFrames, and set frame_interval to fit the frames"
        )
    return times - times[0]
