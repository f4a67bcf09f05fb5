"""Opening of video files."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

import av

from normlib.image_size import most_pixels

from .diagnosis import missing_bytes, why_no_video
from .errors import VideoError

# Of a frame; a clip holds many, so that less is allowed than for an image.
_MOST_PIXELS = 1 << 26
# Playlists open other files and addresses, and images and texts are no videos.
_FORMATS = (
    "mov matroska avi flv live_flv mpegts mpeg mpegvideo asf ogg gif ivf obu rm mxf nut dv m4v "
    "h264 hevc yuv4mpegpipe wtv mp3 wav aac flac"
)
_OPTIONS = {"format_whitelist": _FORMATS.replace(" ", ","), "protocol_whitelist": "file"}
_CODEC = re.compile(r"Video: (.*)")


class Opened(NamedTuple):
    """A file that is open.

    Attributes:
        container: The file.
        stream: Its first video stream, cover pictures aside.
        file_bytes: Its size.
    """

    container: av.container.InputContainer
    stream: av.VideoStream
    file_bytes: int


def open_container(path: str) -> Opened:
    """Open a file and choose its video stream, which is decoded by the calling thread alone.

    Raises:
        VideoError: It cannot be read or has no stream that can be decoded.
    """
    try:
        file_bytes = os.stat(path).st_size
    except (OSError, ValueError) as error:
        raise VideoError(f"{path} cannot be read: {error}") from error
    options = _OPTIONS | {"max_pixels": str(_most_pixels())}
    try:
        container = av.open(f"file:{path}", options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError, OverflowError) as error:
        raise VideoError(f"{path} {_why_not(path, error)}") from error
    try:
        return Opened(container, _video_stream(container, path), file_bytes)
    except BaseException:
        container.close()
        raise


def _most_pixels() -> int:
    return min(_MOST_PIXELS, most_pixels())


def _why_not(path: str, error: Exception) -> str:
    try:
        found = why_no_video(path)
    except OSError as reason:
        return f"cannot be read: {reason}"
    known = "is no video of a format that is read here, or its head is damaged"
    return found or f"{known} ({getattr(error, 'strerror', None) or error}); fetch it again"


def _video_stream(container: av.container.InputContainer, path: str) -> av.VideoStream:
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        raise VideoError(f"{path} {_without_video(container, path)}")
    stream = streams[0]
    context = stream.codec_context
    if context is None:
        codec = _codec_in_words(container)
        raise VideoError(
            f"{path} is encoded as {codec}, for which PyAV's FFmpeg has no decoder; encode it "
            "anew, as by `ffmpeg -i FILE -c:v libx264 OUT.mp4` of an FFmpeg that has one"
        )
    width, height = context.width, context.height
    most = _most_pixels()
    if not 0 < width * height <= most:
        size = f"of {width} x {height} pixels" if width * height else "of no size that can be read"
        raise VideoError(
            f"{path} has frames {size} by its head; up to {most:,} pixels are read: it is "
            "damaged, or to be scaled down"
        )
    context.thread_type, context.thread_count = "NONE", 1
    context.options = {"max_pixels": str(most)}
    return stream


def _without_video(container: av.container.InputContainer, path: str) -> str:
    sound = [stream.codec_context for stream in container.streams.audio]
    if sound:
        codecs = ", ".join(context.name if context else "unknown" for context in sound)
        return f"has sound alone ({codecs}), no video stream"
    missing = missing_bytes(path)
    return "has no video stream" + (f" and lacks {missing:,} bytes at its end" if missing else "")


def _codec_in_words(container: av.container.InputContainer) -> str:
    """Name and four-character code, which PyAV tells by FFmpeg's summary of a file alone."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        found = _CODEC.search(container.dumps_format())
    finally:
        av.logging.set_level(level)
    codec = found[1].split(",")[0] if found else "none"
    return codec.replace("none", "an unknown codec", 1)
