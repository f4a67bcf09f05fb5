"""What the kernels write besides numbers that the reference has, and where they may write it."""

from __future__ import annotations

import pytest
import torch

from tests.normlib.csrc_cuda.emulated import Kernels
from tests.normlib.csrc_cuda.layer import Case, Layer

LAYOUTS = pytest.mark.parametrize("channels_last", [False, True])
# Rows that end within a byte of the mask, and rows that do not.
SHAPES = pytest.mark.parametrize("shape", [(2, 12, 5, 5), (2, 16, 8, 8), (3, 4, 50, 81)])


@LAYOUTS
@SHAPES
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_mask(
    kernels: Kernels, shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool
) -> None:
    case = Case(shape, dtype, channels_last, relu=True, residual=True)
    result = Layer(case, kernels).run()
    y = result["y"].transpose(1, 2) if case.channels_last else result["y"]
    row = y.shape[2]
    bits = result["mask"].view(*y.shape[:2], -1, 1) >> torch.arange(8, dtype=torch.uint8) & 1
    assert torch.equal(bits.flatten(2)[..., :row].bool(), y > 0)
    assert (bits.flatten(2)[..., row:] == 0).all()


@LAYOUTS
def test_in_place(kernels: Kernels, channels_last: bool) -> None:
    """The output may replace the residual, and its gradient the incoming one."""
    case = Case((3, 12, 5, 5), torch.float32, channels_last, relu=True, residual=True)
    apart, together = Layer(case, kernels), Layer(case, kernels)
    together.problem.point_to(y=together.tensors["residual"])
    for layer in (apart, together):
        layer.enqueue("statistics")
        layer.enqueue("apply")
        layer.prepare_backward()
        layer.enqueue("backward_reduce")
    together.problem.point_to(dresidual=together.tensors["grad"])
    for layer in (apart, together):
        layer.enqueue("backward_apply")
    assert torch.equal(together.tensors["residual"], apart.tensors["y"])
    assert torch.equal(together.tensors["grad"], apart.tensors["dresidual"])
    assert torch.equal(together.tensors["dx"], apart.tensors["dx"])


def test_ratio_gradients_alone(kernels: Kernels) -> None:
    """Without a gradient of the input to write, the ratios still get theirs."""
    case = Case((3, 12, 5, 5))
    layer = Layer(case, kernels)
    for name in ("statistics", "apply"):
        layer.enqueue(name)
    layer.prepare_backward()
    layer.enqueue("backward_reduce")
    layer.problem.point_to(dx=None)
    layer.enqueue("backward_apply")
    expected = case.reference()
    for name in ("dmean_ratios", "dvar_ratios"):
        torch.testing.assert_close(
            layer.tensors[name].double(), expected[name], rtol=1e-5, atol=1e-5
        )
    assert layer.tensors["dx"].isnan().all()
