"""The kernel of SparsestMax against the formulas."""

from __future__ import annotations

import pytest
import torch

import normlib
from normlib.functional import sparsestmax
from tests.normlib.csrc_cuda.emulated import Kernels


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [0, 1, 2, 300])
@pytest.mark.parametrize("radius", [0.0, 0.43, 0.9])
@pytest.mark.parametrize("radius_dtype", [torch.float32, torch.float64])
def test_equals_the_formulas(
    kernels: Kernels, radius_dtype: torch.dtype, radius: float, rows: int, dtype: torch.dtype
) -> None:
    logits, given = (0.3 * torch.randn(rows, 3)).to(dtype), torch.tensor(radius, dtype=radius_dtype)
    ratios, jacobian = kernels.sparsestmax(logits, given)
    with normlib.use_backend("reference"):
        exact = logits.double().requires_grad_()
        expected = sparsestmax(exact, given.double())
        slopes = [
            torch.autograd.grad(ratio.sum(), exact, retain_graph=True)[0]
            for ratio in expected.unbind(-1)
        ]
    near = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(ratios.double(), expected.detach(), rtol=near, atol=near)
    torch.testing.assert_close(jacobian.double(), torch.stack(slopes, 1), rtol=near, atol=20 * near)
