"""Decoding of listed packets."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import av
from av.video.frame import PictureType

from .packets import Packets

# Those whose frames that nothing refers to are told as such by each frame's own head.
_SKIPPING = ("h264", "mpeg4", "mpeg2video", "mpeg1video")
_AS_MADE, _ONLY_REFERRED = "DEFAULT", "NONREF"


class Decoder:
    """Decodes runs of packets.

    Args:
        context: Of the stream.
        packets: Of the stream.

    Attributes:
        complaint: The last error of FFmpeg's decoder.
        skips: Whether frames are left out that neither are wanted nor serve to decode another.
    """

    def __init__(self, context: av.VideoCodecContext, packets: Packets) -> None:
        self._context = context
        self._packets = packets.packets
        self.complaint = ""
        self.skips = context.name in _SKIPPING

    def frames(
        self, runs: Collection[tuple[int, int]] | None = None, wanted: Collection[int] | None = None
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        """The frames that come out undamaged, with the numbers of their packets.

        Args:
            runs: First and last packet of each; None for one run of all.
            wanted: Numbers of the packets whose frames must come out; None for all.
        """
        may_skip = self.skips and wanted is not None
        for first, last in [(0, len(self._packets) - 1)] if runs is None else runs:
            self._context.flush_buffers()
            for number in range(first, last + 1):
                skips = may_skip and number not in wanted and number != first
                self._context.skip_frame = _ONLY_REFERRED if skips else _AS_MADE
                yield from self._fed(self._packets[number])
            yield from self._fed(None)

    def _fed(self, packet: av.Packet | None) -> Iterator[tuple[int, av.VideoFrame]]:
        try:
            frames = self._context.decode(packet)
        except av.FFmpegError as error:
            self.complaint = error.strerror or str(error)
            return
        for frame in frames:
            if frame.is_corrupt:
                self.complaint = "damaged frames"
            elif frame.pts is not None and 0 <= frame.pts < len(self._packets):
                yield frame.pts, frame


def starts_anew(frame: av.VideoFrame) -> bool:
    """Whether a frame is decoded without any other.

    Streams that are refreshed little by little call others key frames too.
    """
    return frame.key_frame or frame.pict_type == PictureType.I
