"""How fast a config trains with several norms, and whether its loader keeps up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader

from normlib.analysis.stopwatch import ratio, time_interleaved
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.launch import load_config
from normlib.openmmlab.runner import check_batches


@dataclass(frozen=True)
class NormSpeed:
    """Training steps of the model with one norm.

    Attributes:
        norm: Type of the norm.
        milliseconds: Median time of a step: forward, backward and update.
        images_per_second: Images of a batch divided by it.
        to_first: Median over rounds of the time divided by that of the first norm.
    """

    norm: str
    milliseconds: float
    images_per_second: float
    to_first: float


@dataclass(frozen=True)
class TrainingSpeed:
    """The loader alone, and the model alone with several norms.

    Attributes:
        batch_size: Images of a batch.
        workers: Processes of the loader; 0 for the process of the training itself.
        loader_images_per_second: Of the loader, when nothing else runs.
        norms: One for each norm, in the order asked for.
        device: Where the model ran.
        threads: Of the model on a CPU.
    """

    batch_size: int
    workers: int
    loader_images_per_second: float
    norms: list[NormSpeed]
    device: str
    threads: int

    def report(self) -> str:
        """A Markdown table, and a sentence on what limits the training."""
        table = Table("", "images/s", "ms a step", f"x {self.norms[0].norm}", box=MARKDOWN)
        workers = f"{self.workers} workers" if self.workers else "in the training process"
        table.add_row(f"loader alone, {workers}", f"{self.loader_images_per_second:.1f}", "", "")
        for speed in self.norms:
            table.add_row(
                f"training step, {speed.norm}",
                f"{speed.images_per_second:.1f}",
                f"{speed.milliseconds:.1f}",
                f"{speed.to_first:.2f}",
            )
        console = Console(width=120, color_system=None)
        with console.capture() as capture:
            console.print(table)
        lines = [line.rstrip() for line in capture.get().splitlines() if line.strip()]
        where = self.device if self.device != "cpu" else f"CPU, {self.threads} threads"
        return "\n".join([*lines, f"Batch of {self.batch_size} on {where}. {self._limit()}"])

    def _limit(self) -> str:
        fastest = max(speed.images_per_second for speed in self.norms)
        share = self.loader_images_per_second / fastest
        if not self.workers:
            return f"Loading takes {1 / (1 + share):.0%} of the time of the fastest training."
        if share < 1:
            return (
                f"The loader is the bottleneck: it gives {share:.2f} of what the fastest model "
                "takes; raise train_dataloader.num_workers, up to the number of cores."
            )
        return f"The loader gives {share:.1f} times what the fastest model takes."


def measure_training_speed(
    config: str,
    norms: Sequence[str] = ("BN", "SN"),
    rounds: int = 11,
    batches: int = 20,
    options: dict[str, Any] | None = None,
) -> TrainingSpeed:
    """Time the loader of a config, and interleaved training steps of its model.

    The steps are those of the training, on one batch of the data, without hooks: what a norm costs
    is not blurred by what else a run does.

    Args:
        config: Path of the config.
        norms: Types for its top-level ``norm_cfg``; times are compared with the first.
        rounds: Rounds of steps, after two for warming up.
        batches: Batches that the loader is timed over, after some for warming up.
        options: Dotted config keys and their values.

    Raises:
        ConfigError: If the config or an option asks for what cannot be done.
    """
    if rounds < 1 or batches < 1:
        raise ConfigError(f"rounds is {rounds} and batches {batches}; both must be 1 or more")
    # Initial weights do not change the speed, and need not be there.
    cfgs = {norm: load_config(config, {**(options or {}), "norm_cfg.type": norm}) for norm in norms}
    cfg = next(iter(cfgs.values()))
    if not cfg.get("train_dataloader"):
        raise ConfigError(f"config {config} has no train_dataloader; give one that trains")
    init_default_scope(cfg.get("default_scope", "mmengine"))
    set_multi_processing(**cfg.get("env_cfg", {}).get("mp_cfg", {}), distributed=False)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    check_batches(loader)
    endless = _endless(loader)
    first = next(endless)
    steps = {norm: _Step(cfg, first) for norm, cfg in cfgs.items()}
    batch_size = cfg.train_dataloader.batch_size
    prepared = loader.num_workers * (loader.prefetch_factor or 1)
    loaded = batch_size / _seconds_a_batch(endless, prepared, batches)

    device = torch.device(get_device())
    times = time_interleaved(steps, device, rounds, warmup=2)
    speeds = []
    for norm, seconds in times.items():
        median = statistics.median(seconds)
        against = ratio(seconds, times[norms[0]])
        speeds.append(NormSpeed(norm, 1e3 * median, batch_size / median, against))
    name = torch.cuda.get_device_name() if device.type == "cuda" else device.type
    return TrainingSpeed(
        batch_size, loader.num_workers, loaded, speeds, name, torch.get_num_threads()
    )


class _Step:
    """The training step of a model on one batch."""

    def __init__(self, cfg: Config, batch: Any) -> None:
        torch.manual_seed(0)
        self.model = MODELS.build(cfg.model).to(get_device())
        self.model.train()
        self.optim_wrapper = build_optim_wrapper(self.model, cfg.optim_wrapper)
        # Many steps on one batch would drive a fast optimizer to infinity.
        for group in self.optim_wrapper.optimizer.param_groups:
            group["lr"] *= 1e-3
        self.batch = batch

    def __call__(self) -> None:
        self.model.train_step(self.batch, optim_wrapper=self.optim_wrapper)


def _endless(loader: DataLoader[Any]) -> Iterator[Any]:
    """Batches without end. mmengine's InfiniteSampler, once left, does not start anew."""
    while True:
        batch = None
        for batch in loader:
            yield batch
        if batch is None:
            raise ConfigError("train_dataloader gave no batch in a second pass over its data")


def _seconds_a_batch(endless: Iterator[Any], prepared: int, batches: int) -> float:
    """Time of a batch, once every worker has given what it had prepared while it started."""
    for _ in islice(endless, 1 + prepared):
        pass
    start = time.perf_counter()
    for _ in islice(endless, batches):
        pass
    return (time.perf_counter() - start) / batches
