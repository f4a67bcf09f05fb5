"""The lists of MegaFace: probes and distractors of the devkit, and noisy images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data_checks import DatasetError, outside, raise_if_any


@dataclass(frozen=True)
class ProbeList:
    """Probes of the devkit's `facescrub_features_list.json`.

    Attributes:
        path: The file.
        people: Who is on each image.
        names: Paths of the images.
    """

    path: Path
    people: list[str]
    names: list[str]


def read_probe_list(path: str | Path) -> ProbeList:
    """Read `{"id": [...], "path": [...]}`.

    Raises:
        DatasetError: The file is missing, not such JSON, or lists nothing or a path that leads out.
    """
    path = Path(path).expanduser()
    content = _read_json(path, '{"id": [...], "path": [...]}')
    people, names = (_texts(path, content, key) for key in ("id", "path"))
    _check_paths(path, names)
    if len(people) != len(names):
        raise DatasetError(
            f"{path}: 'id' has {len(people)} entries, 'path' {len(names)}; they belong together"
        )
    return ProbeList(path, people, names)


def read_distractor_list(path: str | Path) -> list[str]:
    """Read the paths of a `megaface_features_list.json_SIZE_SET`: `{"path": [...]}`.

    Raises:
        DatasetError: The file is missing, not such JSON, or lists nothing or a path that leads out.
    """
    path = Path(path).expanduser()
    names = _texts(path, _read_json(path, '{"path": [...]}'), "path")
    _check_paths(path, names)
    return names


def read_noises(path: str | Path) -> list[str]:
    """Read a list of noisy images: one a line, after a tab if there is one; `#` begins a comment.

    Raises:
        DatasetError: The file is missing, is not text, lists nothing, or a path that leads out.
    """
    path = Path(path).expanduser()
    lines = [line.strip() for line in _read_text(path).splitlines()]
    names = [line.split("\t")[-1].strip() for line in lines if line and not line.startswith("#")]
    if not names:
        raise DatasetError(f"{path} lists no image; leave the option out to clean nothing")
    _check_paths(path, names)
    return names


def _check_paths(path: Path, names: Sequence[str]) -> None:
    raise_if_any(str(path), outside(names, (f"entry {place}" for place in range(len(names)))))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error


def _read_json(path: Path, form: str) -> dict[str, Any]:
    try:
        content = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path} is not JSON: {error}; it has to be {form}") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path} holds {type(content).__name__}; it has to be {form}")
    return content


def _texts(path: Path, content: dict[str, Any], key: str) -> Sequence[str]:
    texts = content.get(key)
    if not isinstance(texts, list):
        raise DatasetError(f"{path} has no list {key!r}, only {sorted(content)}")
    if not texts:
        raise DatasetError(f"{path}: {key!r} is empty")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise DatasetError(f"{path}: entry {place} of {key!r} is {text!r}; it has to be text")
    return texts
