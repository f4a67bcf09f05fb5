"""Why a file is no video that can be read."""

from __future__ import annotations

import os
from typing import BinaryIO

_HEAD = 4096
_SHOWN = 60
_IMAGES = {
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG\r\n\x1a\n": "a PNG image",
    b"BM": "a BMP image",
    b"II*\0": "a TIFF image",
    b"MM\0*": "a TIFF image",
}
_MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}


def why_no_video(path: str) -> str | None:
    """What a file is or lacks that explains why it was not opened; None where nothing does.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD)
        if not head:
            return "is empty; fetch it again"
        for signature, kind in _IMAGES.items():
            if head.startswith(signature):
                return f"is {kind}, no video; frames go into a folder of numbered images"
        if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
            return "is a WebP image, no video; frames go into a folder of numbered images"
        if (text := _text(head)) is not None:
            return f"is a text file, no video; it begins with {text!r}"
        if head[4:8] in _MP4_BOXES:
            return _why_no_mp4(file)
    return None


def missing_bytes(path: str) -> int:
    """How many bytes an MP4 file lacks at its end; 0 for files of other formats."""
    with open(path, "rb") as file:
        return _top_boxes(file)[1] if file.read(8)[4:8] in _MP4_BOXES else 0


def _text(head: bytes) -> str | None:
    try:
        text = head.decode("utf-8", "strict" if len(head) < _HEAD else "ignore")
    except UnicodeDecodeError:
        return None
    if len(head) == _HEAD and len(text.encode()) < _HEAD - 3:
        return None
    if not all(sign.isprintable() or sign.isspace() for sign in text):
        return None
    return text.strip()[:_SHOWN]


def _why_no_mp4(file: BinaryIO) -> str | None:
    kinds, missing = _top_boxes(file)
    if b"moov" not in kinds:
        return (
            "has no index (its moov box, which lies at the end of an MP4 file): it was not "
            "downloaded whole; fetch it again"
        )
    if kinds[-1] == b"moov" and missing:
        return f"is cut off within its index, {missing:,} bytes are missing; fetch it again"
    return None


def _top_boxes(file: BinaryIO) -> tuple[list[bytes], int]:
    """Kinds of the boxes of an MP4 file, and how many bytes of the last are missing."""
    end = file.seek(0, os.SEEK_END)
    kinds, at = [], 0
    while at < end:
        file.seek(at)
        header = file.read(16)
        size, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if size == 0:
            size = end - at
        if size < 8 or len(kind) < 4:
            break
        kinds.append(kind)
        at += size
    return kinds, max(0, at - end)
