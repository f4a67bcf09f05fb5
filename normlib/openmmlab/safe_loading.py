"""Loading checkpoints without running code from them.

mmengine checkpoints hold more than tensors (``HistoryBuffer`` logs and numpy arrays), which torch's
restricted unpickler refuses. :func:`install` admits exactly those, and replaces mmengine's loaders
of local files, URLs and model zoos by ones that never fall back to the unrestricted unpickler.
"""

from __future__ import annotations

import errno
import logging
import os
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import barrier, is_main_process
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner.checkpoint import (
    CheckpointLoader,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from normlib.checkpoint import download
from normlib.checkpoint.integrity import DamagedFileError, refuse_compressed
from normlib.openmmlab import safe_files
from normlib.openmmlab.errors import CheckpointError

MapLocation = str | torch.device | Callable[..., Any] | dict[str, str] | None

_STATISTICS = ("min", "max", "mean", "current")
_DTYPE_KINDS = "biufcSUmM"
_REFUSED = re.compile(
    r"(?:Unsupported global: GLOBAL|unsupported GLOBAL|unrecognized function|but got) (\S+?)[.,]?\s"
)


def install() -> None:
    """Make ``torch.load(weights_only=True)`` and mmengine load mmengine's checkpoints safely."""
    safe_files.install()
    torch.serialization.add_safe_globals(_safe_globals())
    for prefixes, loader in (
        ("", load_from_local),
        (("http://", "https://"), load_from_http),
        ((r"(\S+\:)?s3://", r"(\S+\:)?petrel://", "pavi://"), _refuse),
        (("torchvision://", "modelzoo://"), load_from_torchvision),
        (("open-mmlab://", "openmmlab://"), load_from_openmmlab),
        ("mmcls://", load_from_mmcls),
    ):
        CheckpointLoader.register_scheme(prefixes, loader, force=True)


def load_file(path: str | os.PathLike[str], map_location: MapLocation = None) -> Any:
    """Read a checkpoint, executing nothing that it holds.

    Args:
        path: A file written by ``torch.save`` or, with the suffix ``.safetensors``, by safetensors.
        map_location: Where tensors go, as in ``torch.load``.

    Returns:
        What was saved; for safetensors, a dict of tensors.

    Raises:
        CheckpointError: If the file is missing or incomplete, or needs code to be run.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path.absolute()} does not exist")
    try:
        if path.suffix == ".safetensors":
            return _load_safetensors(path, map_location)
        refuse_compressed(path)
        return torch.load(path, map_location=map_location, weights_only=True)
    except CheckpointError:
        raise
    except DamagedFileError as error:
        raise CheckpointError(f"checkpoint {error}") from error
    except Exception as error:  # what a damaged or hostile file makes an unpickler raise is open
        # Of a zip file that is cut short, torch asks for bytes before its start.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise CheckpointError(f"checkpoint {path} cannot be read: {error}") from error
        refused = _REFUSED.search(f"{error} ")
        if refused is not None:
            raise CheckpointError(
                f"checkpoint {path} is refused: it would run {refused[1]!r} on loading, and only "
                "tensors and mmengine's logs are accepted. If you trust its source, load it once "
                "with the code that wrote it and save its weights alone: "
                "torch.save({'state_dict': model.state_dict()}, 'weights.pth')"
            ) from error
        if "CUDA" in str(error):
            raise
        reason = "" if isinstance(error, pickle.UnpicklingError) else str(error).split(". ")[0]
        raise CheckpointError(
            f"checkpoint {path} ({path.stat().st_size} bytes) is not a readable checkpoint; it may "
            "be cut short by an interrupted copy or a full disk: fetch it again, or take the one "
            f"before it ({type(error).__name__}{reason and ': '}{reason})"
        ) from error


def load_from_local(filename: str, map_location: MapLocation = None) -> Any:
    """Loader of paths; see :func:`load_file`."""
    return load_file(filename, map_location)


def load_from_http(filename: str, map_location: MapLocation = None) -> Any:
    """Loader of URLs: downloads into torch's cache, on the main process first."""
    try:
        path = Path(torch.hub.get_dir(), "checkpoints", download.file_name(filename))
    except download.DownloadError as error:
        raise CheckpointError(str(error)) from error
    try:
        if is_main_process():
            _download(filename, path)
    finally:
        barrier()
    _download(filename, path)
    return load_file(path, map_location)


def load_from_torchvision(filename: str, map_location: MapLocation = None) -> Any:
    """Loader of ``torchvision://resnet50``."""
    return load_from_http(_zoo_url(filename, get_torchvision_models()), map_location)


def load_from_openmmlab(filename: str, map_location: MapLocation = None) -> Any:
    """Loader of ``open-mmlab://detectron/resnet50_gn``."""
    return load_from_http(_zoo_url(filename, get_external_models()), map_location)


def load_from_mmcls(filename: str, map_location: MapLocation = None) -> Any:
    """Loader of ``mmcls://``: the backbone of a classifier."""
    checkpoint = load_from_http(_zoo_url(filename, get_mmcls_models()), map_location)
    weights = checkpoint.get("state_dict", checkpoint)
    prefix = "backbone."
    return {"state_dict": {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}}


def _refuse(filename: str, map_location: MapLocation = None) -> Any:
    raise CheckpointError(
        f"checkpoint {filename!r} is at a place from which nothing is loaded; fetch the file, and "
        "name the local one"
    )


def _safe_globals() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What a checkpoint may name, with guards in place of functions that could do more."""
    allowed: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        HistoryBuffer,
        np.ndarray,
        (_statistic, "builtins.getattr"),
        (_plain_dtype, "numpy.dtype"),
        (_no_bytes, "builtins.bytes"),
    ]
    for package in ("numpy._core", "numpy.core"):  # numpy 2 and numpy 1
        allowed.append((_empty_array, f"{package}.multiarray._reconstruct"))
        allowed.append((_scalar, f"{package}.multiarray.scalar"))
    # Pickle restores the byte order of a dtype by its class.
    allowed.extend({type(np.dtype(code)) for code in np.typecodes["All"] if code not in "OV"})
    return allowed


def _statistic(owner: object, name: str) -> Callable[..., Any]:
    """``getattr``, for the methods that HistoryBuffer records in its state."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise pickle.UnpicklingError("Unsupported global: GLOBAL builtins.getattr")
    method: Callable[..., Any] = getattr(HistoryBuffer, name)
    return method


def _plain_dtype(*args: Any) -> np.dtype[Any]:
    """``numpy.dtype``, for numbers, strings and dates."""
    dtype = np.dtype(*args)
    if dtype.kind not in _DTYPE_KINDS:
        raise pickle.UnpicklingError(f"Unsupported global: GLOBAL numpy.dtype({dtype.str!r})")
    return dtype


def _no_bytes() -> bytes:
    """What an empty array is pickled with."""
    return b""


def _empty_array(owner: object, shape: tuple[int, ...], code: bytes) -> np.ndarray[Any, Any]:
    """The empty array whose shape, dtype and bytes pickle sets next."""
    if owner is not np.ndarray or shape != (0,):
        raise pickle.UnpicklingError("Unsupported global: GLOBAL numpy.ndarray")
    return np.ndarray(shape, np.int8)


def _scalar(dtype: np.dtype[Any], data: bytes) -> Any:
    """A numpy scalar from its bytes."""
    return np.frombuffer(data, dtype)[0]


def _load_safetensors(path: Path, map_location: MapLocation) -> dict[str, torch.Tensor]:
    try:
        import safetensors.torch
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f"checkpoint {path} needs the package safetensors: pip install safetensors"
        ) from error
    tensors = safetensors.torch.load_file(path)
    if map_location is None:
        return tensors
    return {name: _moved(tensor, map_location) for name, tensor in tensors.items()}


def _moved(tensor: torch.Tensor, map_location: MapLocation) -> torch.Tensor:
    if callable(map_location):
        moved = map_location(tensor.untyped_storage(), "cpu")
        return tensor if moved is None else tensor.to(moved.device)
    if isinstance(map_location, dict):
        return tensor.to(map_location.get("cpu", "cpu"))
    return tensor.to(map_location)


def _zoo_url(filename: str, urls: dict[str, str]) -> str:
    name = filename.partition("://")[2]
    if name not in urls:
        raise CheckpointError(f"checkpoint {filename!r} names no known model")
    return urls[name]


def _download(url: str, path: Path) -> None:
    if path.exists():
        return
    print_log(f"Downloading {url} to {path}", logger="current", level=logging.INFO)
    try:
        with _progress(path.name) as progress:
            download.fetch(url, path, progress)
    except download.DownloadError as error:
        raise CheckpointError(str(error)) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error}") from error


@contextmanager
def _progress(name: str) -> Iterator[download.Progress]:
    """A bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
