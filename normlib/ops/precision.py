"""Data types: sweeps over the input are float32, what is left of size (N, C) is float64."""

from __future__ import annotations

import torch
from torch import Tensor

# A mean far from zero leaves no digits in float32 for its difference from another mean.
STATISTICS = torch.float64


def accumulation_dtype(x: Tensor) -> torch.dtype:
    """Data type of sweeps over ``x``: float64 for float64 input, float32 for everything else."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def rounded(centre: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A centre in the data type of a sweep, and what the rounding has added to it."""
    near = centre.to(dtype)
    return near, near - centre
