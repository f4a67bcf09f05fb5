"""The GPUs, or the places for CPU trainings, that runs take and give back."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

_VISIBLE = "CUDA_VISIBLE_DEVICES"


class DevicesError(ValueError):
    """GPUs, or trainings at a time, that a machine does not have."""


class Devices:
    """What of a machine a benchmark may use.

    Args:
        gpus: Numbers of GPUs; empty for a machine without.
        jobs: Trainings at a time on a machine without GPUs.
    """

    def __init__(self, gpus: Sequence[int] = (), jobs: int = 1) -> None:
        self.gpus = tuple(gpus)
        self.jobs = jobs
        self._free: list[int] = list(gpus) or list(range(jobs))

    @classmethod
    def of_this_machine(
        cls, gpus: Sequence[int] | None, jobs: int, have_to_be_there: bool = True
    ) -> Devices:
        """Those asked for, or all GPUs.

        Raises:
            DevicesError: A GPU that is not there, unless it does not have to be, or several jobs
                where GPUs decide.
        """
        count = torch.cuda.device_count()
        for gpu in gpus or ():
            if have_to_be_there and not 0 <= gpu < count:
                there = f"0 to {count - 1}" if count else "none"
                raise DevicesError(f"--gpus names {gpu}; of GPUs there are here: {there}")
        if len(set(gpus or ())) < len(gpus or ()):
            raise DevicesError("--gpus names a GPU more than once")
        if jobs != 1 and count:
            raise DevicesError(
                f"--jobs is for machines without GPUs; this one has {count} (--gpus)"
            )
        if jobs < 1:
            raise DevicesError(f"--jobs is {jobs}; it must be 1 or more")
        return cls(range(count) if gpus is None else gpus, jobs)

    def needed(self, processes: int) -> int:
        """Places that a training takes."""
        return processes if self.gpus else 1

    def too_few_for(self, processes: int) -> bool:
        """Whether a training could never start."""
        return bool(self.gpus) and processes > len(self.gpus)

    def take(self, processes: int) -> list[int] | None:
        """Places for a training; None while there are too few."""
        count = self.needed(processes)
        if count > len(self._free):
            return None
        taken, self._free = self._free[:count], self._free[count:]
        return taken

    def give_back(self, taken: Sequence[int]) -> None:
        """Let others have the places of a training that has ended."""
        self._free = sorted([*self._free, *taken])

    def environment(self, taken: Sequence[int], processes: int) -> dict[str, str]:
        """Variables that keep a training to its places."""
        if self.gpus:
            # Numbers count those that this process may see.
            seen = [name for name in os.environ.get(_VISIBLE, "").split(",") if name]
            return {_VISIBLE: ",".join(seen[k] if seen else str(k) for k in taken)}
        if self.jobs == 1 or "OMP_NUM_THREADS" in os.environ:
            return {}
        cores = len(os.sched_getaffinity(0))
        return {"OMP_NUM_THREADS": str(max(1, cores // (self.jobs * processes)))}
