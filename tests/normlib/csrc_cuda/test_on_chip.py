"""The forward pass that keeps its input on the chip."""

from __future__ import annotations

import pytest
import torch

from tests.normlib.csrc_cuda.emulated import Device, Kernels
from tests.normlib.csrc_cuda.layer import DEVICE, Case, Layer, assert_close

ON_CHIP = ("forward_on_chip",)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(2, 16, 7, 7), (3, 40, 12, 11), (1, 2, 100, 100)])
def test_on_chip(
    kernels: Kernels, shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool
) -> None:
    case = Case(shape, dtype, channels_last, relu=True, residual=True)
    layer = Layer(case, kernels)
    if not kernels.fits_on_chip(layer.problem, DEVICE):
        # A sum and a mask leave rows that begin between vectors to single elements.
        assert (shape[1] if channels_last else torch.Size(shape[2:]).numel()) % 8
        case = Case(shape, dtype, channels_last)
        layer = Layer(case, kernels)
    if not kernels.fits_on_chip(layer.problem, DEVICE):
        assert channels_last
        assert shape[1] % 8
        return
    assert_close(layer.run(ON_CHIP), case.reference(), dtype)


def test_same_as_separate(kernels: Kernels) -> None:
    case = Case((4, 64, 14, 14), torch.bfloat16)
    separate, together = Layer(case, kernels).run(), Layer(case, kernels).run(ON_CHIP)
    for name, value in separate.items():
        assert torch.equal(value, together[name]), name


def test_what_does_not_fit(kernels: Kernels) -> None:
    def fits(case: Case, **device: int) -> bool:
        names = [name for name, _ in Device._fields_]
        values = {name: getattr(DEVICE, name) for name in names} | device
        return kernels.fits_on_chip(Layer(case, kernels).problem, Device(**values))

    case = Case((4, 64, 16, 16))
    assert fits(case)
    assert not fits(case, cooperative=False)
    assert not fits(case, shared_memory=48 * 1024)
    assert not fits(Case((0, 64, 16, 16)))
    layer = Layer(case, kernels)
    layer.problem.point_to(batch=torch.zeros(129, dtype=torch.float64))
    assert not kernels.fits_on_chip(layer.problem, DEVICE)
