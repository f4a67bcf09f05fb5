"""What Slurm is asked for, in a job array or by hand."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass, field
from typing import Any

from .run import Run


@dataclass(frozen=True)
class SlurmOptions:
    """What Slurm is asked for.

    Attributes:
        partition: Where jobs run.
        gpus_per_node: Those of a node; a job has one node.
        minutes: Time limit of a job; one that reaches it saves, and is queued again.
        cpus_per_gpu: CPU cores for each GPU.
        parallel: Jobs of an array at a time.
        signal_seconds: Between the signal to save and the time limit.
        setup: Shell lines before a job, such as `module load cuda`.
        extra: Further options of sbatch, such as `{'account': 'vision'}`.
    """

    partition: str
    gpus_per_node: int = 8
    minutes: int = 24 * 60
    cpus_per_gpu: int = 8
    parallel: int = 256
    signal_seconds: int = 300
    setup: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def fits(self, run: Run) -> bool:
        """Whether a run has room on one node."""
        return run.processes <= self.gpus_per_node

    def by_hand(self, run: Run) -> str:
        """The command line that does a run through Slurm on as many nodes as it takes."""
        nodes = math.ceil(run.processes / self.gpus_per_node)
        extra = {"time": self.minutes, **self.extra}
        variables = {
            "GPUS": run.processes,
            "GPUS_PER_NODE": math.ceil(run.processes / nodes),
            "CPUS_PER_TASK": self.cpus_per_gpu,
            "SIGNAL_BEFORE": self.signal_seconds,
            "SRUN_ARGS": " ".join(
                f"--{key.replace('_', '-')}" + ("" if value is True else f"={value}")
                for key, value in extra.items()
            ),
        }
        _, config, _, *arguments = run.command
        script = ["tools/slurm_run.sh", self.partition, run.work_dir.name, "train.py", config]
        words = [f"{name}={shlex.quote(str(value))}" for name, value in variables.items()]
        return " ".join([*words, shlex.join([*script, *arguments])])
