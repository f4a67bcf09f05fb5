"""Optimizer steps that are left out where a loss is no number."""

from __future__ import annotations

from typing import Any

import torch
from mmengine import dist
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from normlib.openmmlab.errors import ConfigError


class StepGuard:
    """Leaves out the step of an iteration whose loss is NaN or infinite on any rank.

    Parameters, optimizer and buffers, such as running statistics, are then as before the iteration,
    and its gradients are never computed. Every iteration waits for its loss.

    Args:
        wrapper: The optimizer, in its wrapper.
        model: Its model, not wrapped.

    Attributes:
        has_skipped: Whether the step of the last iteration was left out.

    Raises:
        ConfigError: The wrapper accumulates gradients, or there are several.
    """

    def __init__(self, wrapper: Any, model: nn.Module) -> None:
        if not isinstance(wrapper, OptimWrapper) or wrapper._accumulative_counts != 1:
            raise ConfigError(
                "iterations can be skipped with one optimizer and accumulative_counts = 1 only: "
                "leave out max_skips of NonFiniteLossHook"
            )
        self.has_skipped = False
        self._wrapper = wrapper
        self._step = wrapper.update_params
        self._buffers = list(model.buffers())
        self._kept: list[Tensor] = []
        wrapper.update_params = self._update_params

    def keep(self) -> None:
        """Take note of the buffers before an iteration."""
        self._kept = [buffer.clone() for buffer in self._buffers]

    def remove(self) -> None:
        """Leave the optimizer as it was."""
        self._wrapper.update_params = self._step

    def _update_params(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        finite = loss.detach().isfinite().all().int()
        dist.all_reduce(finite, op="min")
        self.has_skipped = not finite
        if not self.has_skipped:
            self._step(loss, *args, **kwargs)
            return
        self._wrapper._inner_count += 1
        with torch.no_grad():
            for buffer, kept in zip(self._buffers, self._kept, strict=True):
                buffer.copy_(kept)
