"""Video files, decoded frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import av
import numpy as np

from .container import open_container
from .decoder import Decoder, starts_anew
from .errors import VideoError
from .order import Order, average_rate, order_by_decoding, order_by_stamps, shown_at
from .packets import list_packets
from .pixels import ToRGB, quarter_turns
from .ranges import ranges_to_feed
from .wanted import asked_order, distinct

# AVI files have no time stamps, and what stands for them is wrong for these where frames are
# decoded in another order than they are shown.
_UNSTAMPED = ("avi", ("h264", "hevc"))
# Those that may be refreshed little by little, with key frames in name only.
_REFRESHED = ("h264", "hevc")


class VideoFile:
    """The frames of a video file, decoded by PyAV in the calling thread.

    The encoded frames are listed and kept when the file is opened, which gives their exact number
    and times without decoding. Reading decodes from the last key frame before a frame on, leaves
    out frames that neither are asked for nor serve to decode another, and jumps over groups of
    pictures of which none is wanted. Frames come out as in decoding from the first to the last.

    Frames that an edit list hides are not counted. Frames are turned as the file asks for, and
    scaled to the size in its head where it changes in mid-stream. A frame that does not decode is
    stood in for by the nearest that does, and counted by `stood_in`, and so is one that the decoder
    calls damaged; of a damaged file, what it mends in silence may depend on where reading began.

    Implements :class:`~tasks.video.decoding.VideoReader`.

    Args:
        path: The file.

    Raises:
        VideoError: It is missing, empty, cut off before its first frame or no video, or cannot be
            decoded by FFmpeg.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._closed = False
        self._failed: set[int] = set()
        self._decodable: np.ndarray | None = None
        self._turns: int | None = None
        self._container, stream, file_bytes = open_container(path)
        try:
            context = stream.codec_context
            self._codec = context.name
            self._to_rgb = ToRGB(context.width, context.height)
            container_name, codecs = _UNSTAMPED
            unstamped = (
                self._container.format.name == container_name
                and self._codec in codecs
                and context.has_b_frames
            )
            self._packets = list_packets(self._container, stream, path, file_bytes)
            self._decoder = Decoder(context, self._packets)
            order = None if unstamped else order_by_stamps(self._packets)
            self._order = order or self._order_by_decoding()
        except BaseException:
            self._container.close()
            raise
        rate = float(stream.average_rate) if stream.average_rate else None
        self.times = shown_at(self._packets, self._order, float(stream.time_base or 0), rate)
        self.fps = average_rate(self.times, rate)

    def __len__(self) -> int:
        return len(self._order.numbers)

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as shown, in pixels.

        Raises:
            VideoError: No frame decodes, and the first one tells how frames are turned.
        """
        if self._turns is None:
            _, frame = next(self._decoder.frames(), (0, None))
            if frame is None:
                raise VideoError(self._none_decodes())
            self._turns = quarter_turns(frame)
        width, height = self._to_rgb.width, self._to_rgb.height
        return (height, width) if self._turns % 2 else (width, height)

    @property
    def stood_in(self) -> int:
        """How many different frames that were asked for did not decode."""
        return len(self._failed)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Decode frames, each of them once.

        Args:
            indices: Which, from 0, in any order and with repeats.

        Returns:
            uint8 of shape (len(indices), height, width, 3), RGB.

        Raises:
            VideoError: No frame of the file decodes.
            IndexError: An index is out of range.
            ValueError: The file is closed.
        """
        if self._closed:
            raise ValueError(f"{self.path} is closed")
        asked, places = distinct(indices, len(self), self.path)
        if not len(asked):
            width, height = self.size
            return np.empty((0, height, width, 3), np.uint8)
        shown = self._stand_ins(asked)
        frames = self._decoded(shown)
        if frames is None:
            if self._decodable is None:
                self._find_decodable()
                shown = self._stand_ins(asked)
                frames = self._decoded(shown)
            if frames is None:
                self._jump_no_more()
                frames = self._decoded(shown)
            if frames is None:
                raise VideoError(self._none_decodes())
        self._failed.update(asked[shown != asked].tolist())
        return asked_order(frames, places)

    def close(self) -> None:
        """Close the file and drop its encoded frames; a second time does nothing."""
        self._closed = True
        self._packets.packets.clear()
        self._container.close()

    def _order_by_decoding(self) -> Order:
        emitted = [number for number, _ in self._decoder.frames()]
        return order_by_decoding(self._packets, emitted)

    def _find_decodable(self) -> None:
        emitted = {number for number, _ in self._decoder.frames()}
        places = [k for k, number in enumerate(self._order.numbers) if number in emitted]
        if not places:
            raise VideoError(self._none_decodes())
        self._decodable = np.array(places)

    def _stand_ins(self, asked: np.ndarray) -> np.ndarray:
        """The nearest frames that decode, as far as this is known; of two the earlier one."""
        if self._decodable is None:
            return asked
        after = np.searchsorted(self._decodable, asked)
        below = self._decodable[np.maximum(after - 1, 0)]
        above = self._decodable[np.minimum(after, len(self._decodable) - 1)]
        return np.where(np.abs(asked - below) <= np.abs(above - asked), below, above)

    def _decoded(self, shown: np.ndarray) -> np.ndarray | None:
        """Frames in ascending order, repeats allowed; None where one does not come out."""
        different, places = distinct(shown, len(self), self.path)
        numbers = self._order.numbers[different]
        slots = {number: slot for slot, number in enumerate(numbers.tolist())}
        runs = ranges_to_feed(numbers, self._packets.keys, self._order.ranks)
        doubtful = {first for first, _ in runs if first and self._codec in _REFRESHED}
        frames: np.ndarray | None = None
        for number, frame in self._decoder.frames(runs, slots.copy()):
            if number in doubtful and starts_anew(frame):
                doubtful.remove(number)
            if number not in slots:
                continue
            if self._turns is None:
                self._turns = quarter_turns(frame)
            if frames is None:
                width, height = self.size
                frames = np.empty((len(different), height, width, 3), np.uint8)
            try:
                self._to_rgb(frame, frames[slots[number]], self._turns)
            except (av.FFmpegError, ValueError) as error:
                self._decoder.complaint = str(error)
            else:
                del slots[number]
        if doubtful:
            self._jump_no_more()
            return self._decoded(shown)
        return None if slots or frames is None else asked_order(frames, places)

    def _jump_no_more(self) -> None:
        """Decode from the first packet on: a key frame was not enough for what follows it."""
        self._packets.keys[1:] = False
        self._decoder.skips = False

    def _none_decodes(self) -> str:
        complaint = self._decoder.complaint
        reason = f" ({complaint})" if complaint else ""
        return f"{self.path}: none of its {len(self)} frames decodes{reason}; fetch it again"
