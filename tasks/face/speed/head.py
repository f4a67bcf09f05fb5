"""Time and memory of a step of the classifier, against the plain one."""

from __future__ import annotations

import re
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from tasks.face.losses import ArcFace, margin_softmax_loss
from tasks.face.models import PartialFC
from tasks.face.optimizers import RowSparseSGD

RANKS = 2
Step = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Variant:
    """A classifier to measure.

    Attributes:
        title: For the table.
        sample_rate: Share of the classes in a step; None for the plain softmax loss.
        ranks: Processes that share the classes and the batch.
    """

    title: str
    sample_rate: float | None
    ranks: int = 1


@dataclass(frozen=True)
class Cost:
    """What a training step of a rank cost: forward, backward and SGD with momentum.

    Attributes:
        seconds: Median over steps.
        peak_bytes: Most memory beyond what the process had before the classifier was made: of the
            device on a GPU, of the process on a CPU.
    """

    seconds: float
    peak_bytes: int


class HeadBenchError(ValueError):
    """What is to be measured does not fit this machine, or itself."""


def usual_ranks(device: str) -> int:
    """Ranks to measure unless others are asked for: 2, but no more than there are GPUs."""
    return RANKS if device == "cpu" else max(1, min(RANKS, torch.cuda.device_count()))


def measure(
    variants: list[Variant],
    classes: int,
    dim: int = 512,
    batch: int = 128,
    steps: int = 3,
    rounds: int = 3,
    threads: int | None = None,
    device: str = "cpu",
) -> dict[Variant, list[Cost]]:
    """Costs of the variants, by round: each runs in processes of its own, one after the other.

    Args:
        variants: What to measure.
        classes: Number of classes.
        dim: Length of an embedding.
        batch: Embeddings of all ranks.
        steps: Timed steps of each process, after one that is not.
        rounds: How often all variants take their turn.
        threads: Of each process, shared by its ranks; None for torch's choice.
        device: `'cpu'` or `'cuda'`, of which every rank has its own.

    Raises:
        HeadBenchError: There are fewer GPUs or fewer embeddings than ranks.
    """
    ranks = max(variant.ranks for variant in variants)
    if batch < ranks:
        raise HeadBenchError(
            f"{batch} embeddings are too few for {ranks} ranks, which share them: take a batch of "
            f"{ranks} or more, or fewer ranks"
        )
    if device == "cuda" and ranks > torch.cuda.device_count():
        raise HeadBenchError(
            f"{ranks} ranks on {torch.cuda.device_count()} GPUs: every rank needs its own; take "
            "fewer ranks, or the device cpu"
        )
    costs: dict[Variant, list[Cost]] = {variant: [] for variant in variants}
    for _ in range(rounds):
        for variant in variants:
            with tempfile.TemporaryDirectory() as folder:
                run = (variant, classes, dim, batch, steps, threads, device, folder)
                mp.spawn(_measure_rank, run, nprocs=variant.ranks)
                content = Path(folder, "cost").read_text().split()
            costs[variant].append(Cost(float(content[0]), int(content[1])))
    return costs


def _measure_rank(
    rank: int,
    variant: Variant,
    classes: int,
    dim: int,
    batch: int,
    steps: int,
    threads: int | None,
    device: str,
    folder: str,
) -> None:
    torch.set_num_threads(max(1, (threads or torch.get_num_threads()) // variant.ranks))
    if variant.ranks > 1:
        dist.init_process_group(
            "gloo" if device == "cpu" else "nccl",
            init_method=f"file://{folder}/store",
            rank=rank,
            world_size=variant.ranks,
        )
    if device == "cuda":
        torch.cuda.set_device(rank)
    torch.manual_seed(rank)
    # What the first matrix product and its threads take is not the classifier's.
    torch.randn(64, 64, device=device).requires_grad_().matmul(torch.ones(64, device=device)).sum()
    before = _peak(device)
    batch //= variant.ranks
    embeddings = torch.randn(batch, dim, device=device, requires_grad=True)
    loss_of, centres = _classifier(variant, classes, dim, device)
    optimizer = RowSparseSGD([centres], lr=0.1, momentum=0.9, weight_decay=5e-4)
    seconds = []
    for _ in range(1 + steps):
        labels = torch.randint(classes, (batch,), device=device)
        _wait(device)
        start = time.perf_counter()
        loss_of(embeddings, labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        _wait(device)
        seconds.append(time.perf_counter() - start)
    if rank == 0:
        cost = statistics.median(seconds[1:]), _peak(device) - before
        Path(folder, "cost").write_text(f"{cost[0]} {cost[1]}")
    if variant.ranks > 1:
        dist.barrier()
        dist.destroy_process_group()


def _classifier(variant: Variant, classes: int, dim: int, device: str) -> tuple[Step, nn.Parameter]:
    if variant.sample_rate is None:
        centres = nn.Parameter(torch.empty(classes, dim, device=device).normal_(std=0.01))
        return partial(_plain_loss, centres, ArcFace()), centres
    head = PartialFC(classes, dim, sample_rate=variant.sample_rate).to(device)
    return lambda embeddings, labels: head.loss(embeddings, labels)["loss"], head.weight


def _plain_loss(centres: Tensor, margin: nn.Module, embeddings: Tensor, labels: Tensor) -> Tensor:
    return margin_softmax_loss(embeddings, centres, labels, margin)


def _peak(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    # Not ru_maxrss, which a process that another one has started takes over from it.
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
