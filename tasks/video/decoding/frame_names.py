"""The frames of a folder by their file names."""

from __future__ import annotations

import os
import re
import string
from collections import defaultdict

from tasks.data_checks import DatasetError
from tasks.image_classes import IMAGE_SUFFIXES

from .errors import VideoError

_NUMBERED = re.compile(r"(.*?)(\d+)(\.[^.]+)", re.DOTALL)
_FIRST_NUMBERS = (0, 1)


def frame_names(folder: str, template: str) -> list[str]:
    """The names of the frames of a folder, in the order of their numbers, without a gap.

    Images whose names fit the template are frames, whatever else there is. Where none fits, all
    images whose names end in a number are, if they are named alike.

    Args:
        folder: The folder.
        template: A name with one replacement field for the number, as in "img_{:05d}.jpg".

    Raises:
        VideoError: The folder cannot be read, or has no frames or frames of several kinds, or one
            is missing between the first, number 0 or 1, and the last.
        DatasetError: The template has another form.
    """
    fits = _template_pattern(template)
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise VideoError(f"{folder} cannot be read: {error}") from error
    numbers = {int(found[1]): name for name in names if (found := fits.fullmatch(name))}
    numbers = {number: name for number, name in numbers.items() if template.format(number) == name}
    if not numbers:
        numbers = _any_numbered(folder, names, template)
    _check_gaps(folder, numbers)
    return [numbers[number] for number in sorted(numbers)]


def _template_pattern(template: str) -> re.Pattern[str]:
    try:
        parts = list(string.Formatter().parse(template))
        fields = [field for _, field, _, _ in parts if field is not None]
        template.format(1)
    except (ValueError, IndexError, KeyError) as error:
        raise DatasetError(_wrong_template(template)) from error
    if len(fields) != 1:
        raise DatasetError(_wrong_template(template))
    pattern = "".join(
        re.escape(text) + ("" if field is None else r"(\d+)") for text, field, _, _ in parts
    )
    return re.compile(pattern, re.DOTALL)


def _wrong_template(template: str) -> str:
    return (
        f"the template {template!r} of the names of frames is not a name with one field for the "
        "number, such as 'img_{:05d}.jpg'"
    )


def _any_numbered(folder: str, names: list[str], template: str) -> dict[int, str]:
    kinds: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for name in names:
        found = _NUMBERED.fullmatch(name)
        if found and not name.startswith(".") and found[3].lower() in IMAGE_SUFFIXES:
            numbered = kinds[found[1], found[3]]
            if (twin := numbered.get(int(found[2]))) is not None:
                raise VideoError(f"{folder} has two frames of one number, {twin} and {name}")
            numbered[int(found[2])] = name
    if not kinds:
        raise VideoError(
            f"{folder} has no frames: of {len(names)} entries none is an image named as "
            f"{template!r} or by another number ({', '.join(IMAGE_SUFFIXES)})"
        )
    if len(kinds) > 1:
        shown = ", ".join(min(kind.values()) for kind in list(kinds.values())[:3])
        raise VideoError(
            f"{folder} has images of {len(kinds)} kinds of names ({shown}); set the template to "
            f"that of the frames, it is {template!r}"
        )
    return next(iter(kinds.values()))


def _check_gaps(folder: str, numbers: dict[int, str]) -> None:
    first, last = min(numbers), max(numbers)
    start = min(first, max(_FIRST_NUMBERS))
    if len(numbers) == last - start + 1:
        return
    missing = next(number for number in range(start, last) if number not in numbers)
    raise VideoError(
        f"{folder} has {len(numbers)} frames up to {numbers[last]}, but number {missing} is "
        "missing; frames are numbered from 0 or 1 on without a gap"
    )
