"""Gradient checkpointing that leaves running statistics as they would be without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

_COUNTER = "num_batches_tracked"


def checkpointed(module: nn.Module, run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``run(x)`` without keeping what its backward pass needs: that is computed again.

    The second time running statistics stay as they are; plain checkpointing takes in the same
    batch twice.

    Args:
        module: Has all layers that ``run`` uses.
        run: The computation.
        x: Its input.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_held(module)

    result: Tensor = checkpoint(run, x, use_reentrant=False, context_fn=contexts)
    return result


@contextmanager
def _statistics_held(module: nn.Module) -> Iterator[None]:
    """Let the norms of a module compute as in training and update nothing."""
    norms = [m for m in module.modules() if isinstance(getattr(m, "running_mean", None), Tensor)]
    kept = [(norm, norm.momentum, _count(norm)) for norm in norms]
    try:
        for norm, *_ in kept:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum, count in kept:
            norm.momentum = momentum
            if count is not None:
                getattr(norm, _COUNTER).copy_(count)


def _count(norm: nn.Module) -> Tensor | None:
    count = getattr(norm, _COUNTER, None)
    return count.clone() if isinstance(count, Tensor) else None
