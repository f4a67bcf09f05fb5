"""The toy configs as subjects of the fault test."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.chaos.ranks import RANKS, RESTARTS
from tests.chaos.training import Subject
from tests.toy_tasks import TOYS

_ROOT = Path(__file__).parents[2]
_LAUNCHERS = ("PET_", "SLURM_", "TORCHELASTIC_", "OMPI_", "CHAOS_", "RDZV", "MASTER_")
_OPTIONS = {
    "runner_type": "ObservedRunner",
    "randomness.seed": 1,
    "default_hooks.logger.interval": 1,
    "env_cfg.dist_cfg.timeout": 60,
}


def subject(task: str, ranks: int, data: Path) -> Subject:
    """A toy config.

    Args:
        task: Its name in ``TOYS``.
        ranks: Processes that train it.
        data: Its data; generated there.
    """
    toy = TOYS[task]
    options = toy.run_options(data) | _OPTIONS
    if "train_cfg.max_iters" in options:
        options["default_hooks.checkpoint.interval"] = 2
    else:  # as many iterations an epoch with any number of ranks
        options["train_dataloader.batch_size"] //= ranks
    if ranks > 1:
        launcher = [str(_ROOT / "tools/dist_run.sh"), "../tests/chaos/victim.py", str(RANKS)]
    else:
        launcher = [sys.executable, "-m", "tests.chaos.victim"]

    def command(work_dir: Path, resume: bool, workers: int) -> list[str]:
        every = options | {"train_dataloader.num_workers": workers}
        return [
            *launcher,
            str(toy.config),
            "--work-dir",
            str(work_dir),
            *(["--resume"] if resume else []),
            "--cfg-options",
            *(f"{key}={value}" for key, value in every.items()),
        ]

    name = task if ranks == 1 else f"{task}, {ranks} ranks"
    environ = _environ()
    if ranks > 1:
        # A launcher that is killed leaves files; workers of dataloaders need a short name.
        environ["TMPDIR"] = str(data.parent)
    return Subject(name, command, environ)


def generate(task: str, data: Path) -> None:
    """Write the data of a toy config into a folder, unless they are there."""
    if not data.exists():
        data.mkdir(parents=True)
        TOYS[task].generate(data)


def _environ() -> dict[str, str]:
    kept = {key: text for key, text in os.environ.items() if not key.startswith(_LAUNCHERS)}
    return kept | {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTHONPATH": str(_ROOT),
        "MAX_RESTARTS": str(RESTARTS),
    }
