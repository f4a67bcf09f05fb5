"""What a checkpoint keeps of a run besides weights, optimizer and schedules.

That is its place in the data, where it was made, and the buffers in which the ranks differ: norms
that do not synchronise keep running statistics of their own on every rank. Random states are not
among it, since they follow from the seed and the place, see
:mod:`normlib.openmmlab.resuming.random_streams`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine import dist
from mmengine.device import get_device
from mmengine.runner import Runner
from torch import Tensor, nn

import normlib
from normlib.openmmlab import sharded
from normlib.openmmlab.errors import CheckpointError
from normlib.openmmlab.recorded_config import differences, read_recorded
from normlib.openmmlab.resuming.loops import ExactEpochLoop

# Key of a checkpoint: for each rank, the buffers that differ from those in the state dict.
RANK_BUFFERS = "rank_buffers"
# Name of a checkpoint of a run that was asked to end, with its iterations.
INTERRUPTED = "interrupted_iter_{}.pth"
_PLACE = "place"
# How often torchrun, tools/slurm_run.sh and Slurm have started the processes of a run again.
_RESTARTS = ("TORCHELASTIC_RESTART_COUNT", "NORMLIB_RESTARTS", "SLURM_RESTART_COUNT")
# What a config says of one start of a run alone.
_PASSING = (
    *("work_dir", "resume", "load_from", "launcher", "experiment_name", "log_level"),
    "given_options",  # what they change is told by the keys that they change
)


def describe(runner: Runner, meta: Mapping[str, Any]) -> dict[str, Any]:
    """Where a run stands in its data, and what its results depend on.

    Args:
        runner: In training.
        meta: Of the checkpoint, with ``epoch``.

    Returns:
        For the meta of the checkpoint.
    """
    loop = runner.train_loop
    within = isinstance(loop, ExactEpochLoop) and meta["epoch"] == loop.epoch
    return {
        _PLACE: {
            "batches_done": loop.batches_done if within else 0,
            "epoch_length": len(loop.dataloader),
            "batch_size": _batch_size(loop.dataloader),
            "ranks": dist.get_world_size(),
            "device": _device(),
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
            "backend": normlib.backend().name,
        },
        "run_id": run_id(),
    }


def run_id() -> str | None:
    """The name of a run whose processes may be started more than once; None without.

    torchrun gives it, or tools/slurm_run.sh, or Slurm: a job that is requeued keeps its number.
    """
    job = os.environ.get("SLURM_JOB_ID")
    given = os.environ.get("TORCHELASTIC_RUN_ID") or os.environ.get("NORMLIB_RUN_ID")
    return given or (f"slurm-{job}" if job else None)


def restarts() -> int:
    """How often the processes of the run called :func:`run_id` were started before."""
    return max(int(os.environ.get(name) or 0) for name in _RESTARTS)


def gather_rank_buffers(model: nn.Module) -> list[dict[str, Tensor]] | None:
    """The buffers in which ranks differ from rank 0, for each rank; None where they are alike.

    A collective call.

    Args:
        model: The model, not wrapped.
    """
    if dist.get_world_size() == 1:
        return None
    own = {name: value.detach().cpu() for name, value in _buffers(model)}
    first: list[dict[str, Tensor]] = [own]
    dist.broadcast_object_list(first)
    differing = {name: value for name, value in own.items() if not _alike(value, first[0][name])}
    every: list[dict[str, Tensor]] = dist.all_gather_object(differing)
    return every if any(every) else None


def put_rank_buffers(model: nn.Module, every: list[dict[str, Tensor]]) -> None:
    """Give a model, not wrapped, the buffers that this rank had."""
    buffers = dict(_buffers(model))
    for name, value in every[dist.get_rank()].items():
        if name in buffers and buffers[name].shape == value.shape:
            buffers[name].copy_(value)


def place_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`describe` wrote; empty for a checkpoint without."""
    place = meta.get(_PLACE)
    return dict(place) if isinstance(place, Mapping) else {}


def go_on(runner: Runner, place: Mapping[str, Any]) -> None:
    """Have a loop of epochs do what is left of the epoch in which a run was left.

    With another number of ranks an epoch has another number of batches: their share counts.
    """
    loop, done = runner.train_loop, place.get("batches_done", 0)
    if isinstance(loop, ExactEpochLoop) and done:
        loop.batches_done = round(done * len(loop.dataloader) / place["epoch_length"])


def inexact(runner: Runner, place: Mapping[str, Any]) -> list[str]:
    """What keeps a resumed run from ending, bit for bit, where it would have ended.

    Args:
        runner: In training, resumed.
        place: From :func:`place_of`.
    """
    if not place:
        return ["the checkpoint is not of this program, and tells neither seed nor place exactly"]
    now = describe(runner, {"epoch": -1})[_PLACE]
    notes = []
    if now["ranks"] != place["ranks"]:
        notes.append(
            f"{now['ranks']} processes, before {place['ranks']}: batches are composed differently, "
            "every process draws from other random streams, and running statistics that are not "
            "synchronised begin with those of rank 0"
        )
    if now["batch_size"] != place["batch_size"]:
        notes.append(
            f"{now['batch_size']} samples a batch and process, before {place['batch_size']}"
        )
    for key, name in (
        ("device", "device"),
        ("threads", "threads"),
        ("torch", "torch"),
        ("backend", "normlib backend"),
    ):
        if now[key] != place[key]:
            notes.append(f"{name} {now[key]}, before {place[key]}: sums are rounded otherwise")
    return notes


def changed_settings(runner: Runner, meta: Mapping[str, Any]) -> list[str]:
    """What the config says otherwise than the one that a checkpoint was trained with.

    Args:
        runner: Resumed.
        meta: Of the checkpoint; its config is read as data, and not run.
    """
    text = meta.get("cfg")
    if not isinstance(text, str):
        return []
    try:
        recorded = read_recorded(text, "the config in the checkpoint")
    except CheckpointError as error:
        return [str(error)]
    return differences(recorded, runner.cfg.to_dict(), ignored=_PASSING)


def _buffers(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Buffers that checkpoints hold."""
    shards = {shard.name for shard in sharded.row_shards(model)}
    saved = model.state_dict(keep_vars=True)
    return ((k, v) for k, v in model.named_buffers() if k in saved and k not in shards)


def _alike(one: Tensor, other: Tensor) -> bool:
    """Bit for bit, so that NaN is like itself."""
    return one.numpy(force=True).tobytes() == other.numpy(force=True).tobytes()


def _batch_size(loader: Any) -> int | None:
    return getattr(loader.batch_sampler, "batch_size", loader.batch_size)


def _device() -> str:
    return torch.cuda.get_device_name() if get_device() == "cuda" else "cpu"
