"""SGD that leaves alone the rows which a step does not concern."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmengine.registry import OPTIMIZERS
from torch import Tensor
from torch.optim import SGD


@OPTIMIZERS.register_module()
class RowSparseSGD(SGD):
    """``torch.optim.SGD`` that takes sparse gradients row by row.

    Of a parameter with a sparse gradient only the rows that the gradient holds change, and their
    momentum: neither weight decay nor momentum moves the others. A dense gradient is treated as by
    ``torch.optim.SGD``, whose arguments these are; ``maximize`` is not for sparse ones.
    """

    takes_sparse_rows = True

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters; returns what the closure returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        sparse = []
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is not None and gradient.is_sparse:
                    self._update_rows(parameter, gradient.coalesce(), group)
                    sparse.append((parameter, gradient))
                    parameter.grad = None
        super().step()
        for parameter, gradient in sparse:
            parameter.grad = gradient
        return loss

    @torch.no_grad()
    def _update_rows(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        rows, change = gradient._indices()[0], gradient._values()
        if group["maximize"]:
            raise ValueError("RowSparseSGD: maximize is not for sparse gradients")
        if group["weight_decay"]:
            change = change.add(parameter[rows], alpha=group["weight_decay"])
        if group["momentum"]:
            state = self.state[parameter]
            buffer = state.get("momentum_buffer")
            # SGD does not dampen its first step.
            fresh = buffer is None
            if buffer is None:
                buffer = state["momentum_buffer"] = torch.zeros_like(parameter)
            momentum = buffer[rows].mul_(group["momentum"])
            momentum.add_(change, alpha=1 - (0.0 if fresh else group["dampening"]))
            buffer[rows] = momentum
            change = (
                change.add(momentum, alpha=group["momentum"]) if group["nesterov"] else momentum
            )
        parameter.index_add_(0, rows, change, alpha=-group["lr"])
