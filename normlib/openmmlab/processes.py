"""Where a process stands among the others, its process group and its threads."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from mmengine.device import get_device

from normlib.openmmlab.errors import ConfigError

_START = {
    "pytorch": "tools/dist_train.sh CONFIG GPUS (torchrun)",
    "slurm": "tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR (srun)",
    "mpi": "mpirun",
}
_VARIABLES = {
    "pytorch": ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),
    "slurm": ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS", "SLURM_STEP_TASKS_PER_NODE"),
    "mpi": (
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
    ),
}
LAUNCHERS = ("none", *_VARIABLES)


@dataclass(frozen=True)
class Place:
    """A process among those of a run, and among those of its machine."""

    rank: int
    local_rank: int
    world_size: int
    local_world_size: int

    @classmethod
    def of(cls, launcher: str, environ: Mapping[str, str]) -> Place:
        """Read what a launcher says in the environment.

        Raises:
            ConfigError: If the launcher is unknown or has not started this process.
        """
        if launcher == "none":
            return cls(0, 0, 1, 1)
        if launcher not in _VARIABLES:
            raise ConfigError(f"launcher {launcher!r} is none of {', '.join(LAUNCHERS)}")
        names = _VARIABLES[launcher]
        absent = [name for name in names if not environ.get(name)]
        if absent:
            raise ConfigError(
                f"--launcher {launcher}, but the environment has no {', '.join(absent)}: start "
                f"through {_START[launcher]}, or use --launcher none for one process"
            )
        # Slurm writes the tasks of each node as in "4(x2),3".
        return cls(*(int(environ[name].split("(")[0].split(",")[0]) for name in names))


def start(launcher: str, timeout: float = 1800.0) -> Place:
    """Prepare this process for distributed work.

    On the CPU the process group is opened here, on gloo, and the machine's cores are shared out
    among its processes, unless OMP_NUM_THREADS says how many threads to use. On GPUs the Runner
    opens the group.

    Args:
        launcher: One of ``LAUNCHERS``.
        timeout: Seconds after which a collective without an answer fails.

    Raises:
        ConfigError: If the environment is not the launcher's, or has more processes than GPUs.
    """
    place = Place.of(launcher, os.environ)
    if launcher == "none":
        return place
    on_cpu = get_device() == "cpu"
    if not on_cpu and place.local_world_size > torch.cuda.device_count():
        raise ConfigError(
            f"{place.local_world_size} processes on this machine, which shows "
            f"{torch.cuda.device_count()} GPUs (CUDA_VISIBLE_DEVICES="
            f"{os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}): start one process a GPU"
        )
    _set_rendezvous(place, launcher)
    if on_cpu:
        _share_cores(place.local_world_size)
        if not dist.is_initialized():
            _open_gloo(place, timeout)
    return place


def stop(failed: bool = False) -> None:
    """Close the process group, when nothing of the run is needed any more.

    Args:
        failed: Whether this process gives up while others may go on. Gloo tells them by closing its
            connections; NCCL would wait for them, so its group is left to the end of the process.
    """
    # A wrapped model that outlives the group keeps gloo's threads alive, and a process that exits
    # with such threads may be aborted.
    gc.collect()
    if dist.is_initialized() and not (failed and dist.get_backend() == "nccl"):
        dist.destroy_process_group()


def _share_cores(processes: int) -> None:
    if "OMP_NUM_THREADS" not in os.environ:
        threads = max(1, len(os.sched_getaffinity(0)) // processes)
        torch.set_num_threads(threads)
        os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ.setdefault("MKL_NUM_THREADS", os.environ["OMP_NUM_THREADS"])


def _set_rendezvous(place: Place, launcher: str) -> None:
    """Say where the processes meet, unless whoever started them has said so."""
    if "MASTER_ADDR" not in os.environ:
        nodes = os.environ.get("SLURM_STEP_NODELIST")
        if launcher == "slurm" and nodes:
            os.environ["MASTER_ADDR"] = first_node(nodes)
        elif place.local_world_size == place.world_size:
            os.environ["MASTER_ADDR"] = "127.0.0.1"
        else:
            raise ConfigError(
                f"MASTER_ADDR is not in the environment: start through {_START[launcher]}, or set "
                "it to the host name of the first node"
            )
    # Jobs that share a node must not share a port.
    job = int(os.environ.get("SLURM_JOB_ID", 0)) if launcher == "slurm" else 0
    os.environ.setdefault("MASTER_PORT", str(29500 + job % 1000))
    os.environ["LOCAL_RANK"] = str(place.local_rank)


def first_node(nodes: str) -> str:
    """The first host of a Slurm node list such as ``gpu[03-05,9]-ib,login1``: ``gpu03-ib``."""
    return re.sub(r"\[([^\],-]+)[^\]]*\]", r"\1", nodes).partition(",")[0]


def _open_gloo(place: Place, timeout: float) -> None:
    dist.init_process_group(
        "gloo",
        rank=place.rank,
        world_size=place.world_size,
        timeout=timedelta(seconds=timeout),
    )
