"""Image files that are missing, cut off, no images, or of another size than annotated."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from PIL import Image

from .problems import Problem, found

_JPEG = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_JPEG_MARKER_IN_SCAN = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
_JPEG_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_EXIF_ORIENTATION = 0x0112
_EXIF_TURNED = (5, 6, 7, 8)  # by a quarter: width and height change places
_THREADS = 8  # opening a file on a network disk is mostly waiting


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


def _read_size(file: BinaryIO) -> tuple[int, int, bool]:
    """Width and height as stored, and whether EXIF asks to turn the image by a quarter."""
    file.seek(0)
    with Image.open(file) as image:
        return *image.size, _is_turned(image)


def _is_turned(image: Image.Image) -> bool:
    if "exif" not in image.info:  # where it is not in the header, Pillow would decode the image
        return False
    try:
        return image.getexif().get(_EXIF_ORIENTATION) in _EXIF_TURNED
    except (ValueError, SyntaxError):  # unreadable EXIF data, which the loading ignores
        return False


def check_image_files(images: Sequence[dict], folder: str) -> tuple[list[Problem], list[dict]]:
    """Images that are not in the folder.

    Folders are listed, files are not touched, so that a hundred thousand take a second.

    Args:
        images: entries with `file_name`, relative to `folder`.
        folder: an existing or missing folder.

    Returns:
        The problems, and the entries of the files that exist.
    """
    listings: dict[str, set[str]] = {}
    missing, present = [], []
    for image in images:
        parent, name = os.path.split(os.path.join(folder, image["file_name"]))
        if parent not in listings:
            listings[parent] = set(os.listdir(parent)) if os.path.isdir(parent) else set()
        (present if name in listings[parent] else missing).append(image)
    text = f"of {len(images)} image files are missing in {folder}"
    if not os.path.isdir(folder):
        text += ", which is not a folder"
    return found(text, (repr(image["file_name"]) for image in missing)), present


def check_image_content(images: Sequence[dict], folder: str, exif: bool) -> list[Problem]:
    """Existing files that are damaged, or whose size is not the annotated one.

    Reads the beginning and the end of every file, and decodes none.

    Args:
        images: entries with `file_name`, `width` and `height`.
        folder: what the file names are relative to.
        exif: whether the loading transform turns images as their EXIF data ask for.
    """
    damaged, resized = [], []

    def examine(image: dict) -> tuple[str | None, str | None]:
        path = os.path.join(folder, image["file_name"])
        try:
            with open(path, "rb") as file:
                damage = find_damage(file)
                if damage:
                    return f"{path} {damage}", None
                return None, _size_problem(path, image, *_read_size(file), exif)
        except Image.DecompressionBombError:
            return None, None
        except Image.UnidentifiedImageError:
            return f"{path} is not an image, or one that is badly damaged", None
        except (OSError, ValueError) as error:
            return f"{path} cannot be read: {error}", None

    with ThreadPoolExecutor(_THREADS) as pool:
        for damage, size in pool.map(examine, images):
            damaged += [damage] if damage else []
            resized += [size] if size else []
    return [
        *found("image files are damaged", damaged),
        *found("images are not of the size that the annotation file gives", resized),
    ]


def _size_problem(
    path: str, image: dict, width: int, height: int, turned: bool, exif: bool
) -> str | None:
    loaded = (height, width) if turned and exif else (width, height)
    annotated = (image["width"], image["height"])
    if loaded == annotated:
        return None
    text = f"{path} is {loaded[0]} x {loaded[1]}, annotated as {annotated[0]} x {annotated[1]}"
    if turned and exif:
        text += (
            " (turned as its EXIF data ask for; with annotations of the image as it is stored, set "
            "color_type='color_ignore_orientation' in LoadImageFromFile)"
        )
    return text
