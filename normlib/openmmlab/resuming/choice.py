"""Which checkpoint a run goes on from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from logging import Logger
from pathlib import Path
from typing import Any

from mmengine import dist
from mmengine.runner.checkpoint import CheckpointLoader

from normlib.checkpoint.integrity import DamagedFileError, check_whole
from normlib.checkpoint.saving import read_meta
from normlib.openmmlab.errors import CheckpointError
from normlib.openmmlab.resuming.run_state import restarts, run_id

_NAMES = ("epoch_*.pth", "iter_*.pth", "interrupted_iter_*.pth")


def choose(work_dir: str, resume: bool | str, load_from: str | None, logger: Logger) -> str | None:
    """The checkpoint to go on from; None to begin at the start.

    A process that torchrun or Slurm has started again goes on from the newest checkpoint that its
    run has written, whatever it was told at first. Rank 0 looks for all, which may have no files in
    common but those that they are told.

    Args:
        work_dir: Of the run.
        resume: Whether to; ``'auto'``, or True without ``load_from``, for the newest checkpoint of
            the work directory that is whole.
        load_from: The checkpoint to resume from, if ``resume`` is True.
        logger: Is told which files are damaged, and what comes in their place.

    Raises:
        CheckpointError: The checkpoint is missing, damaged or holds weights alone, or all of the
            work directory are damaged.
    """
    found: list[tuple[str | None, str | None]] = [(None, None)]
    if dist.is_main_process():
        try:
            found = [(_choose(work_dir, resume, load_from, logger), None)]
        except (CheckpointError, OSError) as error:
            found = [(None, str(error))]
    dist.broadcast_object_list(found)
    path, problem = found[0]
    if problem is not None:
        raise CheckpointError(problem)
    return path


def _choose(work_dir: str, resume: bool | str, load_from: str | None, logger: Logger) -> str | None:
    folder = Path(work_dir)
    if restarts() > 0:
        own = newest_whole(folder, logger, run=run_id())
        if own is not None:
            logger.info(f"started again: going on from {own}, the newest checkpoint of this run")
            return str(own)
    if resume is True and load_from is not None:
        if "://" not in load_from:
            _check(Path(load_from).expanduser(), folder)
        return load_from
    newest = newest_whole(folder, logger) if resume else None
    if resume and newest is None:
        logger.info(f"no checkpoint in {work_dir} to resume from: training begins at the start")
    return str(newest) if newest is not None else None


def newest_whole(folder: Path, logger: Logger, run: str | None = None) -> Path | None:
    """The newest checkpoint of a work directory that a training can go on from.

    Args:
        folder: The work directory.
        logger: Is told which files are damaged.
        run: Only those that this run has written, see
            :func:`normlib.openmmlab.resuming.run_state.run_id`.

    Raises:
        CheckpointError: There are checkpoints, and none of them is whole.
    """
    damaged = []
    for path in _candidates(folder):
        meta = read_meta(path)
        if meta and run not in (None, meta.get("run_id")):
            continue
        try:
            check_whole(path)
            if "iter" not in meta:
                raise DamagedFileError(f"{path} does not tell its iteration, or cannot be loaded")
        except (DamagedFileError, OSError) as error:
            damaged.append(str(error))
            logger.warning(f"{error}; looking for the checkpoint before it")
            continue
        return path
    if damaged and run is None:
        raise CheckpointError(
            f"no checkpoint in {folder} is whole: {'; '.join(damaged)}. Name another one with "
            "--resume PATH, or remove them to train from the start"
        )
    return None


def meta_to_resume(checkpoint: str) -> dict[str, Any]:
    """What a checkpoint tells of the run that a training is to go on with.

    A collective call for a URL, which rank 0 downloads first.

    Args:
        checkpoint: Path or URL.

    Raises:
        CheckpointError: It cannot be loaded, or tells of no run, as weights alone.
    """
    meta: Any = {} if "://" in checkpoint else read_meta(Path(checkpoint).expanduser())
    if "iter" not in meta:
        # Of a URL, and of a file in the older format of torch; of any other the error says more.
        loaded = CheckpointLoader.load_checkpoint(checkpoint, "cpu")
        meta = loaded.get("meta") if isinstance(loaded, Mapping) else None
    if not isinstance(meta, Mapping) or "iter" not in meta:
        raise CheckpointError(
            f"--resume {checkpoint}: it holds weights and no run to go on with (no iteration); to "
            f"begin a training with them, take --cfg-options load_from={checkpoint}"
        )
    return dict(meta)


def check_named(checkpoint: str) -> None:
    """Check, before anything is built, that a checkpoint which a run is to go on from is there.

    A process that was started again may not need it any more, see :func:`choose`.

    Args:
        checkpoint: Path or URL.

    Raises:
        CheckpointError: It is not.
    """
    path = Path(checkpoint).expanduser()
    if "://" not in checkpoint and restarts() == 0:
        _check_exists(path)


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(
            f"--resume {path}: {path.absolute()} does not exist; --resume without a path goes on "
            "from the newest checkpoint of the work directory"
        )


def _check(path: Path, folder: Path) -> None:
    """Raise a CheckpointError if a named checkpoint is not there, not whole, or weights alone."""
    _check_exists(path)
    try:
        check_whole(path)
    except DamagedFileError as error:
        other = next((p for p in _others(folder) if p.resolve() != path.resolve()), None)
        advice = f"; the newest one beside it is {other}" if other else ""
        raise CheckpointError(f"{error}{advice}") from error
    meta_to_resume(str(path))


def _candidates(folder: Path) -> Iterator[Path]:
    """Checkpoints, the one that last_checkpoint names first, then from new to old."""
    pointer = folder / "last_checkpoint"
    named = None
    if pointer.is_file():
        text = pointer.read_text(errors="replace").strip("\0\n\r ")
        # A work directory may have been moved or copied since.
        places = (folder / Path(text).name, Path(text)) if text and "\0" not in text else ()
        named = next((place for place in places if place.is_file()), None)
    if named is not None:
        yield named
    # A hook with an out_dir of its own writes beside the one that is named.
    for path in _others(folder, *(() if named is None else (named.parent,))):
        if named is None or path.resolve() != named.resolve():
            yield path


def _others(*folders: Path) -> list[Path]:
    """The checkpoints of some folders, from new to old by their iterations."""
    every = {path for folder in folders for name in _NAMES for path in folder.glob(name)}
    return sorted(every, key=lambda p: (read_meta(p).get("iter", -1), p.stat().st_mtime))[::-1]
