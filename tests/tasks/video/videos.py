"""Writing of short videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_QUIET = {"libx265": {"x265-params": "log-level=none"}}


def write_video(
    path: str | Path,
    frames: np.ndarray,
    fps: float = 30,
    codec: str = "libx264",
    gop: int = 12,
    times: Sequence[float] | None = None,
    rotation: int = 0,
    options: Mapping[str, str] | None = None,
    pix_fmt: str | None = None,
) -> None:
    """Encode frames into a file; its suffix says the container.

    Args:
        path: The file.
        frames: uint8 of shape (frames, height, width, 3), RGB.
        fps: frames per second.
        codec: name of the encoder.
        gop: frames from one key frame to the next.
        times: seconds at which each frame is shown, for other than even rates.
        rotation: degrees, counter-clockwise, by which players turn the frames.
        options: of the encoder.
        pix_fmt: of the encoder; None for one that suits it and the size.
    """
    height, width = frames.shape[1:3]
    if pix_fmt is None:
        odd = width % 2 or height % 2
        pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv444p" if odd else "yuv420p"
    rate = Fraction(fps).limit_denominator(1001)
    clock = 1 / rate if times is None else Fraction(1, 1000)
    with av.open(str(path), "w") as container:
        merged = {**_QUIET.get(codec, {}), **(options or {})}
        stream = container.add_stream(codec, rate=rate, options=merged)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = clock
        if rotation:
            stream.set_display_rotation(rotation)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = number if times is None else round(times[number] / clock)
            frame.time_base = clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
