"""Which images there are, and of which class: read from class folders or from a list file.

Videos in class folders and in lists go by the same functions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tasks.data_checks import DatasetError, found, outside, raise_if_any

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
_HIDDEN = "."


@dataclass(frozen=True)
class ImageClasses:
    """Images with their classes, in a form that the workers of a loader share.

    Attributes:
        folder: What the paths are relative to.
        paths: Paths, an array of byte strings of shape (images,).
        labels: Class indices, int64 of shape (images,).
        classes: Names of the classes; None where a list file gives numbers alone.
    """

    folder: str
    paths: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...] | None

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes) if self.classes is not None else int(self.labels.max()) + 1


@dataclass(frozen=True)
class FileKind:
    """What class folders hold.

    Attributes:
        one: What one of them is called.
        many: What several are called.
        suffixes: Of their names, in lower case.
        under: Gives the paths of all below a folder, relative to it, sorted.
    """

    one: str
    many: str
    suffixes: tuple[str, ...]
    under: Callable[[str], list[str]]


def class_folder_names(folder: str) -> tuple[str, ...]:
    """The sub-folders of a folder, in alphabetical order."""
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.is_dir() and not e.name.startswith(_HIDDEN)]
    return tuple(sorted(names))


def read_class_folders(folder: str, switch: str, kind: FileKind | None = None) -> ImageClasses:
    """One sub-folder a class, in alphabetical order, with images at any depth in it.

    Args:
        folder: The folder of the images.
        switch: Key of configs that says where the data are, for messages.
        kind: What is there in place of images.

    Raises:
        DatasetError: The folder is missing or has no sub-folders, or a class has no image.
    """
    kind = kind or IMAGES
    if not os.path.isdir(folder):
        raise DatasetError(
            f"the folder of the {kind.many}, {folder!r}, does not exist (seen from {os.getcwd()}); "
            f"set {switch}.root to that of the data"
        )
    classes = class_folder_names(folder)
    if not classes:
        raise DatasetError(
            f"{folder} has no sub-folders; {kind.many} lie in one sub-folder a class, or are "
            "listed in a file of lines 'PATH LABEL'"
        )
    paths: list[str] = []
    counts = []
    for name in classes:
        inside = [f"{name}/{path}" for path in kind.under(os.path.join(folder, name))]
        paths += inside
        counts.append(len(inside))
    empty = [f"{name}/" for name, count in zip(classes, counts, strict=True) if count == 0]
    text = (
        f"of {len(classes)} class folders hold no {kind.one} ({', '.join(kind.suffixes)}); fill or "
        "remove them"
    )
    raise_if_any(folder, found(text, empty))
    labels = np.repeat(np.arange(len(classes)), counts)
    return ImageClasses(folder, encoded(paths), labels, classes)


def read_list_file(path: str, folder: str) -> ImageClasses:
    """Read a text file of lines `PATH LABEL`, once for as long as it stays as it is.

    See :func:`_read_list_file`. A list of a million lines takes seconds, and both the config rule
    and the data set want it.
    """
    return _read_list_file(path, folder, file_state(path))


@lru_cache(maxsize=2)
def _read_list_file(path: str, folder: str, state: tuple[int, int]) -> ImageClasses:
    """A text file of lines `PATH LABEL`, labels from 0 on; empty lines are skipped.

    A file `classes.txt` beside it, one name a line, names the classes.

    Args:
        path: The list file.
        folder: What its paths are relative to.
        state: Tells versions of the file apart.

    Raises:
        DatasetError: The file is missing or empty, has a line of another form, a label out of range
            or a path that leads out of the folder, or names images that do not exist.
    """
    classes = classes_beside(path)
    paths: list[str] = []
    labels: list[int] = []
    numbers: list[int] = []
    wrong = []
    for number, line in list_lines(path):
        name, label = last_word(line)
        if not name or not (label.isascii() and label.isdecimal()):
            wrong.append(f"line {number}: {line!r}")
        else:
            paths.append(name)
            labels.append(int(label))
            numbers.append(number)
    problems = found("lines are not of the form 'PATH LABEL' with a label from 0", wrong)
    problems += outside(paths, (f"line {number}" for number in numbers))
    raise_if_any(path, problems)
    if not paths:
        raise DatasetError(f"{path} lists no images; write a line 'PATH LABEL' for each")
    if classes is not None and max(labels) >= len(classes):
        raise DatasetError(
            f"{path} has the label {max(labels)}, but classes.txt beside it names {len(classes)} "
            f"classes, 0 to {len(classes) - 1}"
        )
    text = f"of {len(paths)} images that it lists are missing in {folder}"
    raise_if_any(path, found(text, missing_files(folder, paths)))
    return ImageClasses(folder, encoded(paths), np.asarray(labels), classes)


def file_state(path: str) -> tuple[int, int]:
    """What changes with a list file: when it was written, and how long it is.

    Raises:
        DatasetError: It cannot be read.
    """
    try:
        state = os.stat(path)
    except OSError as error:
        raise DatasetError(f"list file {path} cannot be read: {error}") from error
    return state.st_mtime_ns, state.st_size


def list_lines(path: str) -> list[tuple[int, str]]:
    """The lines of a list file that are not empty, with their numbers from 1.

    Raises:
        DatasetError: It cannot be read, or is no text.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"list file {path} cannot be read: {error}") from error
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def last_word(line: str) -> tuple[str, str]:
    """What stands before the last word of a line, which may be nothing, and that word.

    Args:
        line: Words, set apart by spaces or tabs.
    """
    before, *last = line.rsplit(maxsplit=1) or [""]
    return (before.strip(), last[0]) if last else ("", before)


def classes_beside(path: str) -> tuple[str, ...] | None:
    """The names in the file `classes.txt` beside a list file, one a line, if there is one."""
    names = os.path.join(os.path.dirname(path), "classes.txt")
    if not os.path.isfile(names):
        return None
    with open(names, encoding="utf-8") as file:
        return tuple(line.strip() for line in file if line.strip())


def check_same_classes(source: str, own: tuple[str, ...], classes: tuple[str, ...]) -> None:
    """Check that data have the classes of the training data.

    Args:
        source: File or folder of the data, for messages.
        own: Names of their classes.
        classes: Those of the training data.

    Raises:
        DatasetError: There are others, or their order is another.
    """
    if own == classes:
        return
    extra = [name for name in own if name not in classes]
    absent = [name for name in classes if name not in own]
    raise DatasetError(
        f"{source} has other classes than the training data, or another order: only here "
        f"{extra[:5]}, only there {absent[:5]} ({len(own)} against {len(classes)})"
    )


def images_under(folder: str) -> list[str]:
    """Paths of all images below a folder, relative to it, sorted."""
    result = []
    pending = [""]
    while pending:
        inner = pending.pop()
        with os.scandir(os.path.join(folder, inner)) as entries:
            for entry in entries:
                name = f"{inner}{entry.name}"
                if entry.name.startswith(_HIDDEN):
                    continue
                if entry.name.lower().endswith(IMAGE_SUFFIXES):
                    result.append(name)
                elif entry.is_dir():
                    pending.append(f"{name}/")
    return sorted(result)


def present_files(folder: str, paths: Iterable[str]) -> list[bool]:
    """Which of many paths exist.

    Folders are listed and files not touched, which is quick.

    Args:
        folder: What the paths are relative to.
        paths: The paths.
    """
    listings: dict[str, set[str]] = {}
    present = []
    for path in paths:
        parent, name = os.path.split(os.path.join(folder, path))
        if parent not in listings:
            listings[parent] = set(os.listdir(parent)) if os.path.isdir(parent) else set()
        present.append(name in listings[parent])
    return present


def missing_files(folder: str, paths: Sequence[str]) -> list[str]:
    """Those of many paths that do not exist, quoted; see `present_files`."""
    present = present_files(folder, paths)
    return [repr(path) for path, there in zip(paths, present, strict=True) if not there]


def encoded(paths: Sequence[str]) -> np.ndarray:
    """Paths as byte strings, in one array."""
    return np.array([os.fsencode(path) for path in paths])


IMAGES = FileKind("image", "images", IMAGE_SUFFIXES, images_under)
