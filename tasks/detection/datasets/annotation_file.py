"""Reading COCO annotation files, with errors that say what is wrong with the file."""

from __future__ import annotations

import json
import mmap
import re
from pathlib import Path

from tasks.data_checks import DatasetError, found, raise_if_any

_REQUIRED = {
    "images": {"id", "file_name", "width", "height"},
    "annotations": {"id", "image_id", "category_id", "bbox", "area"},
    "categories": {"id", "name"},
}
_CATEGORIES_KEY = re.compile(rb'"categories"\s*:\s*(?=\[)')
_CATEGORIES_WINDOW = 1 << 22  # bytes; a longer list is read with the whole file
_LISTED = 20


def list_folder(folder: Path) -> str:
    """The names in a folder as one line, for error messages; folders end with a slash."""
    names = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more if names else "nothing"


def _require_file(path: Path) -> None:
    if path.is_file():
        return
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    kind = "is not a file" if path.exists() else "does not exist"
    raise DatasetError(f"{path} {kind}; {folder} contains: {list_folder(folder)}")


def read_annotation_file(path: str | Path) -> dict:
    """Read a file and check that it has the form of COCO instance annotations.

    Args:
        path: a local JSON file.

    Returns:
        The content, where `images`, `annotations` and `categories` are lists of dicts which have
        the keys that training needs.

    Raises:
        DatasetError: the file is missing, cut off, not JSON or of another form.
    """
    path = Path(path)
    _require_file(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(
            f"{path} is not JSON, or is cut off: {error}; the file ends with {text[-30:]!r}"
        ) from None
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in _REQUIRED
    ):
        has = ", ".join(sorted(content)) if isinstance(content, dict) else type(content).__name__
        raise DatasetError(
            f"{path} is not a COCO annotation file: lists named images, annotations and categories "
            f"are needed, the file has: {has or 'nothing'}"
        )
    problems = []
    for key, required in _REQUIRED.items():
        incomplete = [
            f"number {index}: {_shorten(entry)}"
            for index, entry in enumerate(content[key])
            if not (isinstance(entry, dict) and required <= entry.keys())
        ]
        problems += found(
            f"of {len(content[key])} {key} lack one of {sorted(required)}", incomplete
        )
    raise_if_any(str(path), problems)
    return content


def _shorten(entry: object) -> str:
    text = repr(entry)
    return text if len(text) <= 120 else text[:117] + "..."


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """The category names of an annotation file in the order of the file.

    Of a large file only the part that holds the categories is parsed, if it can be told without
    doubt. A file that is damaged elsewhere is found when the data set is built.

    Raises:
        DatasetError: as `read_annotation_file`, or the file has no categories.
    """
    path = Path(path)
    _require_file(path)
    categories = _find_categories(path) or read_annotation_file(path)["categories"]
    if not categories:
        raise DatasetError(f"{path} cannot be used: its list of categories is empty")
    return tuple(category["name"] for category in categories)


def _find_categories(path: Path) -> list[dict] | None:
    if not path.stat().st_size:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        starts = [match.end() for match in _CATEGORIES_KEY.finditer(content)]
        if len(starts) != 1:
            return None
        text = content[starts[0] : starts[0] + _CATEGORIES_WINDOW].decode(errors="replace")
    try:
        categories, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    whole = all(isinstance(entry, dict) and {"id", "name"} <= entry.keys() for entry in categories)
    return categories if whole else None
