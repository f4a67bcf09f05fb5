"""Image files that are empty or cut off, told by their frame."""

from __future__ import annotations

import os
import re
from typing import BinaryIO

_JPEG = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_JPEG_MARKER_IN_SCAN = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
_JPEG_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def find_damage(file: BinaryIO) -> str | None:
    """What is wrong with an image file, as far as its frame tells, without decoding it.

    JPEG and PNG files have to reach their end marker, which may be followed by other bytes. Files
    of other formats pass unless they are empty.

    Args:
        file: seekable, at any position.

    Returns:
        A predicate such as "is cut off", or None.
    """
    file.seek(0)
    head = file.read(8)
    if not head:
        return "is empty"
    if head.startswith(_JPEG):
        return None if _jpeg_is_whole(file) else "is cut off: a JPEG file without its end marker"
    if head == _PNG:
        return None if _png_is_whole(file) else "is cut off: a PNG file without its end chunk"
    return None


def _ends_with(file: BinaryIO, ending: bytes) -> bool:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - len(ending)))
    return file.read() == ending


def _jpeg_is_whole(file: BinaryIO) -> bool:
    if _ends_with(file, _JPEG_END):
        return True
    # An embedded thumbnail has an end marker too, so the segments have to be followed.
    file.seek(0)
    data = file.read()
    pattern, position = _JPEG_MARKER, len(_JPEG_END)
    while match := pattern.search(data, position):
        pattern, position, marker = _JPEG_MARKER, match.end(), match[1][0]
        if marker == _JPEG_END[1]:
            return True
        if marker not in _JPEG_WITHOUT_LENGTH:
            position += int.from_bytes(data[position : position + 2], "big")
        if marker == 0xDA:  # start of scan: entropy-coded data follow the segment
            pattern = _JPEG_MARKER_IN_SCAN
    return False


def _png_is_whole(file: BinaryIO) -> bool:
    if _ends_with(file, _PNG_END):
        return True
    file.seek(len(_PNG))
    while len(header := file.read(8)) == 8:
        length, kind = int.from_bytes(header[:4], "big"), header[4:]
        if kind == b"IEND":
            return len(file.read(4)) == 4
        file.seek(length + 4, os.SEEK_CUR)
    return False
