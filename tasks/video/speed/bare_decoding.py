"""Decoding of a clip as a plain loop of PyAV does it."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import VideoReformatter


def decode_clip(path: str, seconds: np.ndarray, reformatter: VideoReformatter) -> np.ndarray:
    """Seek to the key frame before a clip, decode all up to its last frame, convert those wanted.

    Args:
        path: A video file.
        seconds: When each frame is shown, counted from the first of the file, ascending.
        reformatter: Converts; used again it is quicker.

    Returns:
        uint8 of shape (frames, height, width, 3), RGB.
    """
    frames = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        stamps = np.rint(seconds / float(stream.time_base)).astype(np.int64)
        stamps += stream.start_time or 0
        container.seek(int(stamps[0]), stream=stream)
        for frame in container.decode(stream):
            if frame.pts is None or frame.pts < stamps[len(frames)]:
                continue
            rgb = reformatter.reformat(frame, format="rgb24", threads=1)
            frames.append(rgb.to_ndarray())
            if len(frames) == len(stamps):
                break
    return np.stack(frames)
