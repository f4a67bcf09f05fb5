"""The encoded frames of a video, listed without decoding them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np
from av.stream import Discard

from .diagnosis import why_no_video
from .errors import VideoError

# Far more than any video file holds beside its frames; a damaged index repeats parts of the file.
_FILE_TIMES = 4
_MOST_BYTES = 1 << 31
_FRUITLESS = 8
# Its frames that are only referred to come in packets of their own.
_HIDING_CODEC = "vp8"
_VP8_SHOWN = 0x10


@dataclass
class Packets:
    """The packets of a video stream in the order of the file, which is that of decoding.

    Attributes:
        packets: All of them; the time stamps of each are its number.
        keys: Whether decoding can start at each, bool.
        shown: Whether each gives a frame that is shown, bool.
        stamps: When each is shown, in units of the stream, as the file says; None where it does
            not.
    """

    packets: list[av.Packet]
    keys: np.ndarray
    shown: np.ndarray
    stamps: list[int | None]


def list_packets(
    container: av.container.InputContainer, stream: av.VideoStream, path: str, file_bytes: int
) -> Packets:
    """Read the packets of a stream from the current position to the end of the file.

    Packets that the container calls damaged are left out, as those mostly are that the end of the
    file cuts off, and so are empty ones, which repeat the frame before. Where the file is damaged,
    reading goes on behind.

    Args:
        container: The open file.
        stream: The stream.
        path: Of the file, for messages.
        file_bytes: Size of the file.

    Raises:
        VideoError: No frame is whole, or there are too many bytes of them to be kept.
    """
    packets: list[av.Packet] = []
    keys, shown, stamps = [], [], []
    hiding = stream.codec_context.name == _HIDING_CODEC
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    total, most = 0, min(_FILE_TIMES * file_bytes, _MOST_BYTES)
    for packet in _whole_file(container, stream):
        if not packet.size or packet.is_corrupt:
            continue
        total += packet.size
        if total > most:
            raise VideoError(_too_much(path, file_bytes))
        keys.append(packet.is_keyframe)
        shown.append(
            not packet.is_discard and not (hiding and not memoryview(packet)[0] & _VP8_SHOWN)
        )
        stamps.append(packet.pts)
        packet.pts = packet.dts = len(packets)
        packets.append(packet)
    if not any(shown):
        without = "has a video stream without a single whole frame; fetch it again"
        raise VideoError(f"{path} {why_no_video(path) or without}")
    return Packets(packets, np.array(keys, bool), np.array(shown, bool), stamps)


def _whole_file(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[av.Packet]:
    fruitless = 0
    while fruitless < _FRUITLESS:
        try:
            for packet in container.demux(stream):
                fruitless = 0
                yield packet
            return
        except av.FFmpegError:
            fruitless += 1
        except IndexError:  # PyAV's end of a file whose damage looks like further streams
            return


def _too_much(path: str, file_bytes: int) -> str:
    if file_bytes >= _MOST_BYTES:
        return (
            f"{path} has {file_bytes / 2**30:.1f} GiB, and the frames of a video are kept in "
            f"memory as they are encoded, up to {_MOST_BYTES >> 30} GiB: cut it into clips"
        )
    return (
        f"{path} is damaged: its index lists more than {_FILE_TIMES} times the {file_bytes:,} "
        "bytes that it has; fetch it again"
    )
