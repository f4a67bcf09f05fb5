"""Image files that a data set would leave out without a word."""

from __future__ import annotations

import os
from pathlib import Path

from mmengine import fileio

from tasks.data_checks import Problem, found

from .layout import Layout

_IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


def check_stray_images(
    images: str, labels: str | None, img_suffix: str, layout: Layout
) -> list[Problem]:
    """Image files in the folder of the images that do not end with the suffix in use.

    Those in the folder of the labels are none of them, where that is inside or the same.

    Args:
        images: Folder, which exists.
        labels: Folder, or None.
        img_suffix: With which the images end.
        layout: Whose key of the config changes the suffix.
    """
    inner = labels if labels is not None and Path(labels).is_relative_to(images) else None
    strays = [
        path
        for name in fileio.list_dir_or_file(images, list_dir=False, recursive=True)
        if not name.endswith(img_suffix) and Path(name).suffix.lower() in _IMAGES
        if not _is_inside(path := os.path.join(images, name), inner)
    ]
    text = (
        f"image files in {images} do not end with {img_suffix!r} and would be left out; set "
        f"img_suffix of {layout.switch}, or rename them, or move them elsewhere"
    )
    return found(text, sorted(strays))


def _is_inside(path: str, folder: str | None) -> bool:
    return folder is not None and Path(folder) in Path(path).parents
