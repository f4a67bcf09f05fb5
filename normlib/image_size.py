"""How many pixels an image file has by its head, told before memory is taken for any of them.

A file of a few kilobytes can stand for an image of gigabytes. One limit holds for all loading:
178,956,970 pixels, which is Pillow's, or what the environment variable ``NORMLIB_MAX_IMAGE_PIXELS``
says.
"""

from __future__ import annotations

import io
import os
import re
import struct
from functools import cache
from typing import Any

VARIABLE = "NORMLIB_MAX_IMAGE_PIXELS"
_DEFAULT = 178_956_970
_KNOWN = "JPEG, PNG, WebP, GIF, BMP, TIFF, PPM and JPEG 2000"
# Pillow reads many more formats, of which EPS starts another program.
_OF_PILLOW = ("TIFF", "PPM", "JPEG2000")

_TWO_WORDS = struct.Struct(">HH").unpack_from
_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_JPEG_BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_FRAMES = frozenset(0xFF00 | kind for kind in _JPEG_FRAMES)
_SEGMENTS = frozenset(range(0xFFC0, 0xFFFF)) - _FRAMES - {0xFF00 | kind for kind in _JPEG_BARE}
_PNG = b"\x89PNG\r\n\x1a\n"
_WEBP_LOSSLESS = 0x2F

Size = tuple[int, int]


class ImageSizeError(ValueError):
    """An image has more pixels than are read, or the limit of them is no number."""


@cache
def most_pixels() -> int:
    """The largest number of pixels that an image may have to be decoded; read once.

    Raises:
        ImageSizeError: ``NORMLIB_MAX_IMAGE_PIXELS`` is not a whole number from 1 on.
    """
    given = os.environ.get(VARIABLE, str(_DEFAULT))
    if not (given.isascii() and given.isdecimal() and len(given) < 20 and int(given) > 0):
        raise ImageSizeError(f"{VARIABLE} is {given!r}; it is a whole number of pixels from 1 on")
    return int(given)


def why_refused(content: Any) -> str | None:
    """Why an image file is not to be decoded, as far as its head tells.

    Costs 1 to 3 microseconds for a JPEG or PNG file.

    Args:
        content: All bytes of the file, or an array of them: whatever ``memoryview`` takes.

    Returns:
        A predicate that names the size and the limit, or the formats that are read; None for an
        image within the limit.
    """
    try:
        size = size_in_head(content)
    except ImageSizeError as error:
        return str(error)
    if size is None:
        return f"is not an image, or a badly damaged one; what is read are {_KNOWN} files"
    width, height = size
    return None if width * height <= most_pixels() else too_many_pixels(width, height)


def too_many_pixels(width: int, height: int) -> str:
    """What is wrong with an image beyond the limit, as a predicate."""
    return (
        f"is {width} x {height} by its head, {width * height:,} pixels; up to {most_pixels():,} "
        f"are read: scale it down, or raise the limit by the environment variable {VARIABLE}"
    )


def size_in_head(content: Any) -> Size | None:
    """Width and height that an image file is going to be decoded to, in pixels.

    Args:
        content: All bytes of the file, or an array of them: whatever ``memoryview`` takes.

    Returns:
        None where the bytes are no image of a known format.

    Raises:
        ImageSizeError: The size is far beyond the limit, in a format that Pillow reads.
    """
    view = memoryview(content)
    head = bytes(view[:32])
    try:
        if head.startswith(b"\xff\xd8\xff"):
            return _jpeg_size(view)
        if head[:8] == _PNG:
            return _pair(">II", head, 16)
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return _webp_size(head)
        if head[:6] in (b"GIF87a", b"GIF89a"):
            return _pair("<HH", head, 6)
        if head[:2] == b"BM":
            return _bmp_size(head)
    except struct.error:
        return None
    return _by_pillow(view)


def _pair(form: str, head: bytes, at: int) -> Size:
    first, second = struct.unpack_from(form, head, at)
    return first, second


def _jpeg_size(view: memoryview) -> Size | None:
    at = 2
    try:
        while True:
            marker, length = _TWO_WORDS(view, at)
            if marker in _FRAMES:
                height, width = _TWO_WORDS(view, at + 5)
                return width, height
            if marker not in _SEGMENTS:
                return _searched_jpeg_size(view)
            at += 2 + length
    except struct.error:
        return _searched_jpeg_size(view)


def _searched_jpeg_size(view: memoryview) -> Size | None:
    """As decoders find the frame where other bytes stand between the segments."""
    at = 2
    while found := _JPEG_MARKER.search(view, at):
        at, kind = found.end(), found[1][0]
        if kind in _JPEG_FRAMES:
            height, width = _TWO_WORDS(view, at + 3)
            return width, height
        if kind not in _JPEG_BARE:
            at += int.from_bytes(view[at : at + 2], "big")
    return None


def _webp_size(head: bytes) -> Size | None:
    kind = head[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(head[at : at + 3], "little") for at in (24, 27))
        return width + 1, height + 1
    if kind == b"VP8L" and head[20] == _WEBP_LOSSLESS:
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = _pair("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _bmp_size(head: bytes) -> Size:
    (length,) = struct.unpack_from("<I", head, 14)
    width, height = _pair("<HH", head, 18) if length == 12 else _pair("<ii", head, 18)
    return abs(width), abs(height)  # a negative height is that of rows from the top down


def _by_pillow(view: memoryview) -> Size | None:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        return None
    try:
        with Image.open(io.BytesIO(view), formats=_OF_PILLOW) as image:
            width, height = image.size
            return width, height
    except Image.DecompressionBombError as error:
        raise ImageSizeError(
            f"has too many pixels: {error} Up to {most_pixels():,} are read; scale it down, or "
            f"raise the limit by the environment variable {VARIABLE}"
        ) from error
    except Exception:  # what damaged bytes make a decoder of heads raise is open
        return None
