"""What a checkpoint of a training holds, and how it comes onto the disk."""

from __future__ import annotations

import pickle
import re
import shutil
import time
from pathlib import Path
from typing import Any

import mmengine
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from mmengine.runner.checkpoint import weights_to_cpu
from mmengine.utils import apply_to, get_git_hash
from torch import Tensor

from normlib.checkpoint.integrity import DamagedFileError, check_whole
from normlib.checkpoint.saving import replacing
from normlib.openmmlab.errors import TrainingError
from normlib.openmmlab.wrappers import bare_model

# What torch says of a class that it does not load.
_REFUSED = re.compile(r"Unsupported global: GLOBAL (\S+)")


def state_of(
    runner: Runner, meta: dict[str, Any], optimizer: bool, param_scheduler: bool
) -> dict[str, Any]:
    """The state of a run, in the form of mmengine's checkpoints.

    Args:
        runner: In training.
        meta: Has at least ``epoch`` and ``iter``, the ones that are done.
        optimizer: Whether to keep the optimizer.
        param_scheduler: Whether to keep the schedules.
    """
    meta = meta | {
        "cfg": runner.cfg.pretty_text,
        "seed": runner.seed,
        "experiment_name": runner.experiment_name,
        "time": time.strftime("%Y%m%d_%H%M%S", time.localtime()),
        "mmengine_version": mmengine.__version__ + get_git_hash(),
    }
    dataset = runner.train_dataloader.dataset
    if hasattr(dataset, "metainfo"):
        meta["dataset_meta"] = dataset.metainfo
    checkpoint = {
        "meta": meta,
        "state_dict": weights_to_cpu(bare_model(runner.model).state_dict()),
        "message_hub": _on_cpu(runner.message_hub.state_dict()),
    }
    if optimizer:
        assert isinstance(runner.optim_wrapper, OptimWrapper | OptimWrapperDict)
        checkpoint["optimizer"] = _on_cpu(runner.optim_wrapper.state_dict())
    if param_scheduler and runner.param_schedulers is not None:
        schedulers = runner.param_schedulers
        checkpoint["param_schedulers"] = (
            {name: [one.state_dict() for one in some] for name, some in schedulers.items()}
            if isinstance(schedulers, dict)
            else [one.state_dict() for one in schedulers]
        )
    return checkpoint


def write_whole(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint under another name, read it back from the disk, then rename it.

    Raises:
        TrainingError: The disk refuses, or gives back something else; ``path`` is as it was.
    """
    try:
        with replacing(path, _check) as scratch:
            torch.save(checkpoint, scratch)
    except pickle.UnpicklingError as error:
        found = _REFUSED.search(str(error))
        what = f"it holds a {found[1]}" if found else str(error).splitlines()[0]
        raise TrainingError(
            f"checkpoint {path} could not be loaded again, and is not written: {what}. Only "
            "tensors, numbers, texts and containers of them can be kept; look for other things in "
            "the metainfo of the data set and in what hooks add"
        ) from error
    except (OSError, RuntimeError, DamagedFileError) as error:
        # The writer of torch says no more of a full disk than that its stream has failed.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"checkpoint {path} cannot be written: {reason}{_space(path.parent)}. What was saved "
            "before is as it was; with room on the disk, --resume goes on from it"
        ) from error


def _check(path: Path) -> None:
    check_whole(path)
    torch.load(path, map_location="cpu", mmap=True, weights_only=True)  # reads no tensor


def _on_cpu(state: Any) -> Any:
    return apply_to(state, lambda value: isinstance(value, Tensor), lambda value: value.cpu())


def _space(folder: Path) -> str:
    try:
        return f" ({shutil.disk_usage(folder).free / 2**20:.0f} MiB free in {folder})"
    except OSError:
        return ""
