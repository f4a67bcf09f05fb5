"""What there is in a work directory, judged without the code that is tested."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import normlib.openmmlab  # noqa: F401  lets torch.load(weights_only=True) take mmengine's files

_COMPARED = ("state_dict", "optimizer", "param_schedulers")


def named(work_dir: Path) -> Path | None:
    """The checkpoint that ``last_checkpoint`` names, there or not; None where it names none."""
    try:
        text = (work_dir / "last_checkpoint").read_text()
    except (OSError, UnicodeDecodeError):
        return None
    return work_dir / Path(text).name if text else None


def load(path: Path, mmap: bool = False) -> dict[str, Any]:
    """Load a checkpoint."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", mmap=mmap, weights_only=True)
    return state


def iteration(path: Path) -> int:
    """The iterations after which a checkpoint was made."""
    return int(load(path, mmap=True)["meta"]["iter"])


def trouble(path: Path) -> str | None:
    """What keeps a checkpoint from being used; None for a good one."""
    if not path.is_file():
        return f"{path.name} is not there"
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
        if bad is not None:
            return f"{path.name}: record {bad} is damaged"
        load(path)
        iteration(path)
    except Exception as error:  # what a damaged file raises is open
        return f"{path.name} cannot be loaded: {error}"
    return None


def newest(work_dir: Path, without: Path | None = None) -> int:
    """The iterations of the newest good checkpoint; 0 where there is none.

    Args:
        work_dir: The work directory.
        without: One that does not count.
    """
    found = [path for path in every(work_dir) if path != without and trouble(path) is None]
    return max(map(iteration, found), default=0)


def every(work_dir: Path) -> list[Path]:
    """All checkpoints that a run could go on from, in no order."""
    return [path for path in work_dir.glob("*.pth") if not path.name.startswith("best_")]


def differences(one: Path, other: Path) -> list[str]:
    """In which weights, states of the optimizer and schedules two checkpoints differ in a bit."""
    first, second = load(one), load(other)
    return [
        place for key in _COMPARED for place in _differing(key, first.get(key), second.get(key))
    ]


def _differing(place: str, one: Any, other: Any) -> Iterator[str]:
    if type(one) is not type(other):
        yield place
    elif isinstance(one, torch.Tensor):
        if one.dtype != other.dtype or one.shape != other.shape or _bits(one) != _bits(other):
            yield place
    elif isinstance(one, Mapping):
        if list(one) != list(other):
            yield place
        else:
            for key in one:
                yield from _differing(f"{place}.{key}", one[key], other[key])
    elif isinstance(one, Sequence) and not isinstance(one, str | bytes):
        if len(one) != len(other):
            yield place
        else:
            for at, (left, right) in enumerate(zip(one, other, strict=True)):
                yield from _differing(f"{place}.{at}", left, right)
    elif repr(one) != repr(other):  # tells all bits of a number, and NaN is like itself
        yield place


def _bits(value: torch.Tensor) -> bytes:
    return value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
