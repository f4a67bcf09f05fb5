"""The collectives of synchronised batch statistics: one forward, one backward.

Both work on gloo and NCCL, and trace under ``torch.compile``. Ranks may hold different numbers of
samples and positions, or none at all; every rank must call them the same number of times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
import torch.distributed as dist
from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


def synchronizing_group(group: ProcessGroup | None = None) -> ProcessGroup | None:
    """The group to synchronise over, or None where this process is on its own.

    Args:
        group: A process group, or None for the default one.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return None
    group = dist.group.WORLD if group is None else group
    return group if dist.get_world_size(group) > 1 else None


def gather(local: Tensor, group: ProcessGroup) -> Tensor:
    """The vectors of shape (n,) of all ranks, as a tensor of shape (ranks, n)."""
    gathered = local.new_empty(dist.get_world_size(group) * local.numel())
    dist.all_gather_into_tensor(gathered, local, group=group)
    return gathered.view(-1, local.numel())


def sum_in_place(gradients: Tensor, group: ProcessGroup) -> None:
    """Sum a tensor over all ranks, in one all-reduce."""
    dist.all_reduce(gradients, group=group)


def merge_statistics(
    count: int, mean: Tensor, var: Tensor, group: ProcessGroup
) -> tuple[Tensor, Tensor, Tensor]:
    """Merge the channel statistics of all ranks with Chan's formula, in one all-gather.

    Args:
        count: Number of elements behind each entry of ``mean`` on this rank; may be 0.
        mean: Mean of each channel on this rank, shape (C,); finite also where ``count`` is 0.
        var: Biased variance of each channel on this rank, shape (C,).
        group: Processes to merge over.

    Returns:
        The total count as a tensor of shape (), and the mean and biased variance of each channel
        over all ranks, shape (C,), identical on every rank. All are 0 where no rank holds data.
    """
    channels = mean.shape[0]
    local = torch.cat([mean.new_full((1,), float(count)), mean, var])
    counts, means, variances = gather(local, group).split([1, channels, channels], 1)
    total = counts.sum()
    share = counts / total.clamp(min=1)
    merged_mean = (share * means).sum(0)
    merged_var = (share * (variances + (means - merged_mean).square())).sum(0)
    return total, merged_mean, merged_var


def sum_gradients(
    grad_mean: Tensor, grad_var: Tensor, group: ProcessGroup
) -> tuple[Tensor, Tensor]:
    """Sum two vectors of shape (C,) over all ranks, in one all-reduce."""
    both = torch.stack([grad_mean, grad_var])
    sum_in_place(both, group)
    return both[0], both[1]


class _DifferentiableSum(torch.autograd.Function):
    """All-reduce whose derivative is an all-reduce, for the reference backend."""

    @staticmethod
    def forward(ctx, x, group):  # type: ignore[no-untyped-def]
        ctx.group = group
        x = x.clone()
        dist.all_reduce(x, group=group)
        return x

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        return _DifferentiableSum.apply(grad, ctx.group), None


def differentiable_sum(x: Tensor, group: ProcessGroup) -> Tensor:
    """Sum of ``x`` over all ranks; its gradient is the sum of the gradients of all ranks."""
    return cast(Tensor, _DifferentiableSum.apply(x, group))
