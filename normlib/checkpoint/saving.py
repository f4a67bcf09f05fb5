"""Writing files whole or not at all, weights above all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from normlib.checkpoint.integrity import refuse_compressed

_SUFFIXES = (".pth", ".pt", ".safetensors")


class OutputError(ValueError):
    """Weights cannot be written where they are asked for."""


@contextmanager
def replacing(path: Path, check: Callable[[Path], object] | None = None) -> Iterator[Path]:
    """A file to write, which takes the place of ``path`` unless an error leaves the block.

    Args:
        path: The file that is to be whole or as it was; missing folders are made.
        check: Called with the file once it is on the disk; where it raises, ``path`` stays.

    Raises:
        OSError: The disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        scratch = Path(folder, path.name)
        yield scratch
        with scratch.open("rb+") as file:
            os.fsync(file.fileno())
            if check is not None:
                # What is read back shall come from the disk, and not from memory.
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if check is not None:
            check(scratch)
        scratch.replace(path)
        _sync_folder(path.parent)


def remove_leftovers(folder: Path, pattern: str) -> list[Path]:
    """Remove what :func:`replacing` left where a process was killed while it wrote.

    Args:
        folder: Of the files; no process may be writing there.
        pattern: Of their names, such as ``*.pth``.

    Returns:
        What was removed.
    """
    left = [path for path in folder.glob(f".{pattern}.*") if path.is_dir()]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return left


def _sync_folder(folder: Path) -> None:
    """Have a renaming survive a loss of power, on file systems that can do that."""
    number = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of ``path`` unless an error leaves the block.

    Args:
        path: The folder that is to be whole or as it was; missing folders above it are made.

    Raises:
        OSError: The disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=path.parent, prefix=f".{path.name}.partial-", ignore_cleanup_errors=True
    ) as scratch:
        whole = Path(scratch, "new")
        whole.mkdir()
        yield whole
        put_in_place(whole, path, Path(scratch, "old"))


def put_in_place(folder: Path, path: Path, aside: Path) -> None:
    """Rename a folder; what stands in its place is put aside first, and back if that fails.

    Args:
        folder: The new folder, on the same file system as ``path``.
        path: Its place.
        aside: Where an old folder goes, for the caller to remove.

    Raises:
        OSError: The disk refuses.
    """
    replaced = os.path.lexists(path)
    if replaced:
        path.rename(aside)
    try:
        folder.rename(path)
    except OSError:
        if replaced:
            aside.rename(path)
        raise


def check_output(path: Path, force: bool = False) -> None:
    """Refuse, before any work is done, an output that could not be written.

    Args:
        path: The file to write.
        force: Whether an existing file may be replaced.

    Raises:
        OutputError: The suffix is unknown, or there is a file already.
    """
    if path.suffix not in _SUFFIXES:
        raise OutputError(
            f"{path} ends in {path.suffix!r}; the format follows from the suffix, one of "
            f"{', '.join(_SUFFIXES)}"
        )
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file")
    if path.exists() and not force:
        raise OutputError(f"{path} exists; name another file, or replace it with --force")


def save(
    state: Mapping[str, Tensor],
    path: Path,
    force: bool = False,
    meta: Mapping[str, Any] | None = None,
) -> None:
    """Write a state dict under another name, then rename it.

    Args:
        state: The weights.
        path: ``.safetensors``, or ``.pth`` for ``{'state_dict': state}``; folders are made.
        force: Whether an existing file may be replaced.
        meta: What else is to be known about them, as JSON can hold it: in a ``.pth`` file under
            ``'meta'``, in the metadata of safetensors as one JSON text each.

    Raises:
        OutputError: See :func:`check_output`, or the disk refuses.
    """
    check_output(path, force)
    tensors = {key: value.detach().clone().contiguous() for key, value in state.items()}
    try:
        with replacing(path) as scratch:
            if path.suffix == ".safetensors":
                import safetensors.torch

                texts = {key: json.dumps(value) for key, value in (meta or {}).items()}
                safetensors.torch.save_file(tensors, scratch, metadata={"format": "pt", **texts})
            else:
                torch.save(
                    {"state_dict": tensors} | ({"meta": dict(meta)} if meta else {}), scratch
                )
    except Exception as error:  # safetensors has an error of its own for a full disk
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OutputError(f"{path} cannot be written: {reason}") from error


def read_meta(path: Path) -> dict[str, Any]:
    """What :func:`save` was told about a file's weights, which are not read.

    Args:
        path: Any file.

    Returns:
        ``meta``; empty where there is none, or where the file cannot be read in this way.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, "pt") as file:
                texts = file.metadata() or {}
            return {key: json.loads(text) for key, text in texts.items() if key != "format"}
        refuse_compressed(path)
        meta = torch.load(path, map_location="cpu", mmap=True, weights_only=True)["meta"]
        return dict(meta)
    except Exception:  # what a damaged or foreign file raises is open; loading it will say more
        return {}
