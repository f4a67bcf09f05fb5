"""Mixed precision on the CPU, where mmengine's AmpOptimWrapper refuses to run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from normlib.openmmlab.errors import ConfigError


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Runs the forward under bfloat16 autocast on the CPU.

    bfloat16 has the range of float32, so losses are not scaled; the state of a loss scaler in a
    checkpoint written on a GPU is ignored on resuming.

    Args:
        dtype: ``'bfloat16'``.
        **kwargs: Arguments of mmengine's ``OptimWrapper``.

    Raises:
        ConfigError: For another dtype.
    """

    def __init__(self, dtype: str = "bfloat16", **kwargs: Any) -> None:
        if dtype != "bfloat16":
            raise ConfigError(
                f"optim_wrapper.dtype={dtype!r}: mixed precision on the CPU is 'bfloat16' only; "
                "remove the key or train on a GPU"
            )
        super().__init__(**kwargs)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast the forward of ``model``, and hold back gradients while accumulating."""
        with super().optim_context(model), torch.autocast("cpu", dtype=torch.bfloat16):
            yield

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of the optimizer."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "loss_scaler"})
