"""The video files of a generated set, in some of the forms that real ones have."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_TICKS = 4  # of a frame, where the frame rate varies
_LONGEST = 2 * _TICKS - 1
_OPTIONS = {
    # With mbtree x264 gives other bytes now and then on processors with AVX-512.
    "libx264": {"preset": "veryfast", "crf": "20", "x264-params": "mbtree=0"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "24", "b": "0"},
}


@dataclass(frozen=True)
class VideoForm:
    """How a clip is stored.

    Attributes:
        suffix: of the file, which decides the container.
        codec: FFmpeg's name of the encoder.
        gop: most frames from one key frame to the next.
        fps: mean frames a second.
        steady: whether all frames last equally long.
    """

    suffix: str = ".mp4"
    codec: str = "libx264"
    gop: int = 12
    fps: int = 30
    steady: bool = True


# By the number of the video in its class, again and again, so that no class has forms of its own.
FORMS = (
    VideoForm(gop=12, fps=30),
    VideoForm(gop=250, fps=25),
    VideoForm(gop=4, fps=30),
    VideoForm(".webm", "libvpx-vp9", gop=16, fps=30),
    VideoForm(gop=12, fps=24),
    VideoForm(gop=250, fps=30),
    VideoForm(gop=16, fps=30, steady=False),
    VideoForm(gop=8, fps=25),
)


def write_clip(rng: np.random.Generator, path: Path, clip: np.ndarray, form: VideoForm) -> None:
    """Encode a clip, on one thread and without a date, so that the bytes are always the same.

    Args:
        rng: source of the time stamps where these are not steady.
        path: of the file, with the suffix of the form.
        clip: uint8 array of shape (frames, height, width, 3), channels red, green, blue; height
            and width are even.
        form: how to store it.

    Raises:
        OSError: the file cannot be written.
    """
    ticks = np.full(len(clip), _TICKS)
    if not form.steady:
        ticks = rng.integers(1, _LONGEST, len(clip), endpoint=True)
    stamps = np.cumsum(ticks) - ticks[0]
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(form.codec, rate=form.fps, options=_OPTIONS[form.codec])
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.gop_size = form.gop
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = Fraction(1, form.fps * _TICKS)
        for pixels, stamp in zip(clip, stamps, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = int(stamp)
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
