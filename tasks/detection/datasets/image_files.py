"""Image files that are missing, cut off, no images, or of another size than annotated."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from tasks.data_checks import Problem, find_damage, found
from tasks.data_checks.image_header import ImageHeader, read_header

_THREADS = 8  # opening a file on a network disk is mostly waiting


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
                return None, _size_problem(path, image, read_header(file), exif)
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


def _size_problem(path: str, image: dict, header: ImageHeader, exif: bool) -> str | None:
    turned = header.turned and exif
    loaded = (header.height, header.width) if turned else (header.width, header.height)
    annotated = (image["width"], image["height"])
    if loaded == annotated:
        return None
    text = f"{path} is {loaded[0]} x {loaded[1]}, annotated as {annotated[0]} x {annotated[1]}"
    if turned:
        text += (
            " (turned as its EXIF data ask for; with annotations of the image as it is stored, set "
            "color_type='color_ignore_orientation' in LoadImageFromFile)"
        )
    return text
