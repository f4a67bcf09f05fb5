"""Writing an embedding folder, from one or several processes, whole or not at all."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from normlib.checkpoint.saving import put_in_place
from tasks.data_checks import DatasetError

from .embedding_folder import ABOUT, EMBEDDINGS, NAMES, TEXT


class EmbeddingOutputError(ValueError):
    """An embedding folder cannot be written where it is asked for."""


def check_output(path: Path, force: bool = False) -> None:
    """Refuse, before any work is done, a folder that could not be written.

    Args:
        path: The folder.
        force: Whether an embedding folder that stands there may be replaced.

    Raises:
        EmbeddingOutputError: Something stands there that is not to be replaced.
    """
    if not os.path.lexists(path):
        return
    if not (path / ABOUT).is_file() or not (path / EMBEDDINGS).is_file():
        raise EmbeddingOutputError(
            f"{path} exists and is not a folder of embeddings; give a path that does not exist yet"
        )
    if not force:
        raise EmbeddingOutputError(f"{path} exists; give another path, or --force to replace it")


def scratch_folder(path: Path, force: bool = False) -> tempfile.TemporaryDirectory[str]:
    """A folder beside `path` to write to, removed with all that is left in it at the end.

    Args:
        path: Where the embedding folder shall be.
        force: As for :func:`check_output`.

    Raises:
        EmbeddingOutputError: See :func:`check_output`; or the disk refuses.
    """
    check_output(path, force)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(
            prefix=f".{path.name}.partial-", dir=path.parent, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise EmbeddingOutputError(f"{path} cannot be written: {error}") from error


class RowWriter:
    """Writes rows of the embeddings of one set into one file, as other processes do at once.

    Processes need not wait for each other: every one of them gives the file its header and size,
    which are the same, and writes its own rows. Nothing is read back or mapped, so that on a shared
    file system nobody writes more than these bytes.

    Args:
        scratch: The folder that all processes write to, of :func:`scratch_folder`.
        names: One an image of the whole set, for the count and for messages.
    """

    def __init__(self, scratch: Path, names: Sequence[str]) -> None:
        self.path = scratch / EMBEDDINGS
        self.names = names
        self.dim: int | None = None
        self._file: int | None = None
        self._offset = 0

    def write(self, indices: np.ndarray, embeddings: np.ndarray) -> None:
        """Write rows.

        Args:
            indices: int64 of shape (n,), the rows' places, from 0.
            embeddings: float32 of shape (n, D), D as in every other call.

        Raises:
            DatasetError: An embedding holds NaN or infinity, or has another length; or an index is
                none of the set's.
            EmbeddingOutputError: The disk refuses.
        """
        embeddings = np.ascontiguousarray(embeddings, np.dtype("<f4"))
        for index in indices[(indices < 0) | (indices >= len(self.names))]:
            raise DatasetError(f"there is an embedding of image {index} of {len(self.names)}")
        for index in indices[~np.isfinite(embeddings).all(1)]:
            raise DatasetError(
                f"the embedding of {self.names[index]} (image {index}) holds NaN or infinity; the "
                "checkpoint, or the image as the pipeline gives it, is not sound"
            )
        if self.dim is None:
            self.dim = embeddings.shape[1]
        if embeddings.shape[1] != self.dim:
            raise DatasetError(
                f"the embedding of {self.names[indices[0]]} (image {indices[0]}) has "
                f"{embeddings.shape[1]} numbers, others {self.dim}"
            )
        try:
            file = self._file if self._file is not None else self._open(self.dim)
            ends = np.flatnonzero(np.diff(indices) != 1) + 1
            for run in np.split(np.arange(len(indices)), ends) if len(indices) else ():
                place = self._offset + int(indices[run[0]]) * 4 * self.dim
                _write_all(file, embeddings[run[0] : run[-1] + 1].tobytes(), place)
        except OSError as error:
            raise EmbeddingOutputError(f"{self.path} cannot be written: {error}") from error

    def close(self) -> None:
        """Hand all rows over to the file system; to be done by every process before `publish`.

        Raises:
            EmbeddingOutputError: The disk refuses.
        """
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            os.fsync(file)
            os.close(file)
        except OSError as error:
            raise EmbeddingOutputError(f"{self.path} cannot be written: {error}") from error

    def _open(self, dim: int) -> int:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f4", "fortran_order": False, "shape": (len(self.names), dim)}
        )
        self._offset = header.tell()
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o666)
        os.ftruncate(self._file, self._offset + len(self.names) * 4 * dim)
        _write_all(self._file, header.getvalue(), 0)
        return self._file


def publish(
    scratch: Path,
    path: Path,
    names: Sequence[str],
    about: Mapping[str, Any],
    force: bool = False,
) -> None:
    """Give a folder of written rows its names and its place; to be done by one process.

    Args:
        scratch: What the rows were written to.
        path: Where the embedding folder shall be.
        names: One an image.
        about: For `about.json`, as JSON can hold it; `count` and `dim` are added.
        force: As for :func:`check_output`.

    Raises:
        DatasetError: A name holds a line break.
        EmbeddingOutputError: See :func:`check_output`; or the disk refuses.
    """
    if broken := next((name for name in names if "\n" in name or "\r" in name), None):
        raise DatasetError(f"an image is called {broken!r}; a name is one line of {NAMES}")
    check_output(path, force)
    rows, dim = np.load(scratch / EMBEDDINGS, mmap_mode="r", allow_pickle=False).shape
    about = {**about, "count": rows, "dim": dim}
    whole = scratch / "new"
    try:
        whole.mkdir()
        (scratch / EMBEDDINGS).rename(whole / EMBEDDINGS)
        (whole / NAMES).write_text("".join(f"{name}\n" for name in names), newline="\n", **TEXT)
        (whole / ABOUT).write_text(json.dumps(about, indent=1) + "\n", **TEXT)
        put_in_place(whole, path, scratch / "old")
    except OSError as error:
        raise EmbeddingOutputError(f"{path} cannot be written: {error}") from error


def _write_all(file: int, content: bytes, place: int) -> None:
    while content:
        written = os.pwrite(file, content, place)
        content, place = content[written:], place + written
