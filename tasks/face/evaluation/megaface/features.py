"""Embeddings for MegaFace: a folder of ours, or the feature files of the devkit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tasks.data_checks import DatasetError
from tasks.face.evaluation.embedding_folder import EMBEDDINGS, EmbeddingFolder

from .rows import UnitRows

_FLOAT = 5  # CV_32F of OpenCV


def open_features(path: str | Path, suffix: str | None = None) -> UnitRows:
    """Open a set of embeddings.

    Args:
        path: An embedding folder or, with `suffix`, a folder of the devkit's feature files.
        suffix: What follows the image's name in the names of feature files, such as
            `_insightface.bin` in `Al_Pacino/Al_Pacino_12.jpg_insightface.bin`; they are all read
            into memory.

    Raises:
        DatasetError: A file is missing or not what it should be, see `EmbeddingFolder`.
    """
    path = Path(path).expanduser()
    if suffix is not None and not (path / EMBEDDINGS).exists():
        return _from_feature_files(path, suffix)
    folder = EmbeddingFolder.open(path)
    return UnitRows(str(path / EMBEDDINGS), folder.names, folder.embeddings)


def read_feature(path: str | Path) -> np.ndarray:
    """Read a feature file of the MegaFace devkit: one embedding.

    The file holds 4 int32 (rows, columns, bytes a row, 5 for float32) and the numbers, little
    endian; one of rows and columns is 1. The bytes a row are 4 in files of other makers whatever
    their shape, and count for nothing.

    Args:
        path: The file.

    Returns:
        float32 of shape (D,).

    Raises:
        DatasetError: The file is missing, of another form, or cut off.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    if len(content) < 16:
        raise DatasetError(f"{path} has {len(content)} bytes; a feature file starts with 16")
    rows, columns, _, kind = np.frombuffer(content, "<i4", 4).tolist()
    if kind != _FLOAT or min(rows, columns) != 1:
        raise DatasetError(
            f"{path} starts with {rows} rows, {columns} columns and type {kind}; a feature file "
            f"has one row or one column of type {_FLOAT} (float32)"
        )
    if len(content) != 16 + 4 * rows * columns:
        raise DatasetError(
            f"{path} has {len(content)} bytes; {rows * columns} numbers after the first 16 need "
            f"{16 + 4 * rows * columns}"
        )
    return np.frombuffer(content, "<f4", offset=16).astype(np.float32)


def _from_feature_files(folder: Path, suffix: str) -> UnitRows:
    files = sorted(folder.rglob(f"*{suffix}")) if suffix else []
    if not files:
        raise DatasetError(f"{folder} has no file whose name ends in {suffix!r}")
    first = read_feature(files[0])
    embeddings = np.empty((len(files), len(first)), np.float32)
    for row, file in enumerate(files):
        feature = read_feature(file)
        if len(feature) != len(first):
            raise DatasetError(
                f"{file} holds {len(feature)} numbers, {files[0]} {len(first)}; "
                "all features of a set have the same length"
            )
        embeddings[row] = feature
    names = [file.relative_to(folder).as_posix()[: -len(suffix)] for file in files]
    return UnitRows(str(folder), names, embeddings)
