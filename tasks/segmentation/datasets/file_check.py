"""Files of images and labels that cannot be used, told by their headers and ends."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from tasks.data_checks import Problem, find_damage, found
from tasks.data_checks.image_header import ImageHeader, read_header

from .label_file import FORM, size_difference, wrong_form

_THREADS = 8  # opening a file on a network disk is mostly waiting
_CHUNK = 64  # samples; handing over one takes as long as reading it
_DAMAGED = "files are damaged"
_FORMS = f"label files are not PNG files with {FORM}"
_SIZES = "labels have another size than their images"


def check_files(samples: Sequence[dict], exif: bool) -> list[Problem]:
    """Check files and sizes, and take note of the sizes of the images.

    Reads the beginning and the end of every file, and decodes none.

    Args:
        samples: Entries with `img_path` and, with labels, `seg_map_path`; `width` and `height`, as
            the image is loaded, are added.
        exif: Whether images are turned as their EXIF data ask for when they are loaded.
    """

    def examine(start: int) -> list[tuple[str, str]]:
        chunk = samples[start : start + _CHUNK]
        return [trouble for sample in chunk for trouble in _examine(sample, exif)]

    with ThreadPoolExecutor(_THREADS) as pool:
        chunks = pool.map(examine, range(0, len(samples), _CHUNK))
        troubles = [trouble for chunk in chunks for trouble in chunk]
    return [
        problem
        for kind in (_DAMAGED, _FORMS, _SIZES)
        for problem in found(kind, (text for of, text in troubles if of == kind))
    ]


def _examine(sample: dict, exif: bool) -> list[tuple[str, str]]:
    """What is wrong, each with its kind."""
    image = _header(sample["img_path"])
    turned = False
    troubles = []
    if isinstance(image, str):
        troubles.append((_DAMAGED, image))
    else:
        turned = exif and image.turned
        sides = image.width, image.height
        sample["width"], sample["height"] = sides[::-1] if turned else sides
    path = sample.get("seg_map_path")
    label = _header(path) if path else None
    if isinstance(label, str):
        troubles.append((_DAMAGED, label))
    elif label is not None:
        if form := wrong_form(label):
            troubles.append((_FORMS, f"{path} {form}"))
        if isinstance(image, ImageHeader):
            size = sample["height"], sample["width"]
            if text := size_difference(path, (label.height, label.width), size):
                troubles.append((_SIZES, text + _turned_note(sample["img_path"]) * turned))
    return troubles


def _header(path: str) -> ImageHeader | str:
    """The header of a file, or what is wrong with it."""
    try:
        with open(path, "rb") as file:
            damage = find_damage(file)
            return f"{path} {damage}" if damage else read_header(file)
    except Image.UnidentifiedImageError:
        return f"{path} is not an image, or one that is badly damaged"
    except (OSError, ValueError) as error:
        return f"{path} cannot be read: {error}"


def _turned_note(image: str) -> str:
    return (
        f"; {image} is turned as its EXIF data ask for, unless LoadImageFromFile has "
        "color_type='color_ignore_orientation'"
    )
