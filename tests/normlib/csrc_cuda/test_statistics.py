"""What the statistics promise beyond agreement on well-behaved input."""

from __future__ import annotations

import pytest
import torch

from tests.normlib.csrc_cuda.emulated import Kernels
from tests.normlib.csrc_cuda.layer import Case, Layer, assert_close, variant

LAYOUTS = pytest.mark.parametrize("channels_last", [False, True])


@LAYOUTS
@pytest.mark.parametrize("shape", [(4, 6, 9, 9), (2, 3, 70, 71), (16, 5, 1)])
def test_far_mean(kernels: Kernels, shape: tuple[int, ...], channels_last: bool) -> None:
    """A mean of 100 standard deviations costs the output no digits but those of the input."""
    case = Case(shape, torch.float32, channels_last, mean=100.0)
    result = Layer(case, kernels).run()
    expected = case.reference()
    assert_close(result, {name: expected[name] for name in ("y", "dx", "batch_var")}, case.dtype)
    mean = result["channel"][1 : 1 + case.c] + result["offset"].double()
    torch.testing.assert_close(mean, case.x.double().mean(2), rtol=0, atol=1e-6)


@LAYOUTS
def test_odd_first_element(kernels: Kernels, channels_last: bool) -> None:
    """Sums are not taken about a value that happens to lie far from the others."""
    case = Case((1, 8, 90, 90), torch.float32, channels_last, normalizers=("in",))
    case.x[:, :, 0] = 1e4
    result = Layer(case, kernels).run()
    expected = case.x.double().var(2, correction=0)
    torch.testing.assert_close(result["variance"].double(), expected, rtol=1e-5, atol=0)


@LAYOUTS
def test_constant(kernels: Kernels, channels_last: bool) -> None:
    """No variance below zero where there is none."""
    case = Case((2, 8, 9, 9), torch.float32, channels_last)
    case.x.fill_(1234.567)
    result = Layer(case, kernels).run()
    assert (result["variance"] == 0).all()
    assert (result["offset"] == 0).all()
    torch.testing.assert_close(result["y"], case.bias.view(1, -1, 1).expand_as(result["y"]))


@LAYOUTS
@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
@pytest.mark.parametrize(
    ("normalizers", "fixed"),
    [(("in",), False), (("ln",), False), (("bn",), False), (("in", "bn"), True)],
)
def test_not_finite(
    kernels: Kernels, normalizers: tuple[str, ...], fixed: bool, bad: float, channels_last: bool
) -> None:
    """What is not finite spreads as far as the statistics that are mixed, and no farther."""
    case = Case((3, 10, 6, 5), torch.float32, channels_last, normalizers, fixed=fixed)
    case.x[1, 4, 7] = bad
    spread = torch.zeros(3, 10, dtype=torch.bool)
    if "in" in normalizers:
        spread[1, 4] = True
    if "ln" in normalizers:
        spread[1] = True
    if "bn" in normalizers and not fixed:
        spread[:, 4] = True
    result = Layer(case, kernels).run()
    for name in ("y", "dx"):
        assert torch.equal(result[name].isnan().all(2), spread), name
        assert torch.equal(result[name].isnan().any(2), spread), name


@pytest.mark.parametrize("shape", [(0, 6, 3), (2, 0, 3), (2, 6, 0), (0, 0, 0)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@LAYOUTS
def test_empty(
    kernels: Kernels, shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool
) -> None:
    """Statistics and gradients of nothing are zero, and running averages stay."""
    case = Case(shape, dtype, channels_last)
    result = Layer(case, kernels).run()
    assert result["channel"][0] == shape[0] * shape[2]
    statistics = ("offset", "variance", "layer", "batch_mean", "batch_var")
    sums = ("sums", "layer_grad", "channel_grad")
    for name in (*statistics, *sums, "dweight", "dbias", "dmean_ratios", "dvar_ratios"):
        assert (result[name] == 0).all(), name
    for name in ("running_mean", "running_var"):
        assert torch.equal(result[name], getattr(case, name)), name


@LAYOUTS
def test_deterministic(kernels: Kernels, channels_last: bool) -> None:
    """Bitwise the same, also where blocks and threads take turns in another order."""
    case = Case((2, 12, 60, 61), torch.float32, channels_last, relu=True)
    results = []
    for order in (False, False, True):
        kernels.reverse(order)
        results.append(Layer(case, kernels).run())
    kernels.reverse(False)
    for other in results[1:]:
        for name, first in results[0].items():
            assert torch.equal(first, other[name]), name


@LAYOUTS
@pytest.mark.parametrize("sizes", [(3, 1), (0, 4), (4, 0)])
def test_two_processes(kernels: Kernels, sizes: tuple[int, int], channels_last: bool) -> None:
    """Merged batch statistics and summed gradients give what one process gives."""
    whole = Case((4, 10, 6, 5), torch.float64, channels_last)
    layers = []
    for size, begin in zip(sizes, (0, sizes[0]), strict=True):
        part = variant(whole, shape=(size, *whole.shape[1:]))
        part.x = whole.x[begin : begin + size]
        part.grad = whole.grad[begin : begin + size]
        for name in ("mean_ratios", "var_ratios", "weight", "bias"):
            setattr(part, name, getattr(whole, name))
        layers.append(Layer(part, kernels))
    for layer in layers:
        layer.enqueue("statistics")
    gathered = torch.stack([layer.tensors["channel"] for layer in layers])
    batch = torch.full_like(gathered[0], torch.nan)
    kernels.merge(gathered, batch)
    for layer in layers:
        layer.problem.point_to(batch=batch)
        layer.enqueue("apply")
        layer.prepare_backward()
        layer.enqueue("backward_reduce")
    total = sum(layer.tensors["channel_grad"] for layer in layers)
    for layer in layers:
        layer.tensors["channel_grad"].copy_(total)
        layer.enqueue("backward_apply")

    expected = whole.reference()
    results = [layer.tensors for layer in layers]
    merged = {name: torch.cat([r[name] for r in results]) for name in ("y", "dx")}
    for name in ("dweight", "dbias", "dmean_ratios", "dvar_ratios"):
        merged[name] = sum(r[name] for r in results)
    merged |= {"batch_mean": batch[1:11], "batch_var": batch[11:]}
    assert_close(merged, {name: expected[name] for name in merged}, torch.float64)


def test_merge_of_nothing(kernels: Kernels) -> None:
    batch = torch.full((9,), torch.nan, dtype=torch.float64)
    kernels.merge(torch.zeros(3, 9, dtype=torch.float64), batch)
    assert (batch == 0).all()
