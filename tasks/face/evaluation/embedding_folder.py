"""A folder of embeddings: what a model makes of many images, one row each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.data_checks import DatasetError

EMBEDDINGS = "embeddings.npy"
NAMES = "names.txt"
ABOUT = "about.json"
# File names that are not UTF-8 come back as they were.
TEXT = dict(encoding="utf-8", errors="surrogateescape")
_MADE_BY = "tools/extract_embeddings.py writes such a folder"
_BLOCK_BYTES = 1 << 24


@dataclass(frozen=True)
class EmbeddingFolder:
    """The embeddings of images, not read into memory, and the images' names.

    The folder holds `embeddings.npy`, `names.txt` with a line an image, and `about.json`.

    Attributes:
        path: The folder.
        embeddings: float32 of shape (images, D), mapped from the file and read-only.
        names: One an image, in the order of the rows.
        about: What made them, as its maker noted it: `config`, `checkpoint`, `flip` (whether the
            mirror images count), `dim` and `count`.
    """

    path: Path
    embeddings: np.ndarray
    names: list[str]
    about: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> EmbeddingFolder:
        """Open a folder and look through its rows once.

        Args:
            path: The folder.

        Raises:
            DatasetError: A file is missing or not what it should be, the counts of rows and names
                differ, or an embedding holds NaN or infinity.
        """
        path = Path(path).expanduser()
        if not path.is_dir():
            raise DatasetError(f"{path} is not a folder; {_MADE_BY}")
        for name in (EMBEDDINGS, NAMES, ABOUT):
            if not (path / name).is_file():
                raise DatasetError(f"{path} has no {name}; {_MADE_BY}")
        embeddings = _mapped(path / EMBEDDINGS)
        names = (path / NAMES).read_text(**TEXT).split("\n")
        if not names[-1]:  # after the newline that ends the last line
            names.pop()
        if len(names) != len(embeddings):
            raise DatasetError(
                f"{path / EMBEDDINGS} has {len(embeddings)} rows, {path / NAMES} {len(names)} "
                "lines; there has to be one line a row"
            )
        _check_finite(path, embeddings, names)
        return cls(path, embeddings, names, _read_about(path / ABOUT))


def _mapped(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(
            f"{path} is not a whole .npy file of numbers: {error}; {_MADE_BY}"
        ) from error
    shape, dtype = getattr(array, "shape", None), getattr(array, "dtype", None)
    sound = isinstance(array, np.memmap) and array.ndim == 2 and array.dtype == np.float32
    if not sound or not array.flags.c_contiguous:
        raise DatasetError(f"{path} is {dtype} of shape {shape}; it has to be float32 (images, D)")
    return array


def _check_finite(path: Path, embeddings: np.ndarray, names: list[str]) -> None:
    """Raise for the first row with NaN or infinity.

    The file is read, not mapped: what is mapped stays in memory.
    """
    rows, dim = embeddings.shape
    step = max(1, _BLOCK_BYTES // (4 * max(1, dim)))
    with (path / EMBEDDINGS).open("rb") as file:
        file.seek(embeddings.offset)
        for start in range(0, rows, step):
            count = min(step, rows - start)
            block = np.fromfile(file, embeddings.dtype, count * dim).reshape(count, dim)
            with np.errstate(over="ignore", invalid="ignore"):
                suspects = np.flatnonzero(~np.isfinite(block.sum(1)))
            for row in suspects:  # a sum may overflow where no entry does
                if not np.isfinite(block[row]).all():
                    row += start
                    raise DatasetError(
                        f"{path / EMBEDDINGS}: row {row}, the embedding of {names[row]}, holds NaN "
                        "or infinity; extract it again with a sound checkpoint"
                    )


def _read_about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(**TEXT))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not JSON: {error}; {_MADE_BY}") from error
    if not isinstance(about, dict):
        raise DatasetError(f"{path} holds {type(about).__name__}, not an object; {_MADE_BY}")
    return about
