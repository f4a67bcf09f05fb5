"""The compiled CUDA kernels on a GPU; their logic is tested without one in ``csrc_cuda``."""

from __future__ import annotations

import pytest
import torch

import normlib
from normlib.functional import sparsestmax, switch_norm
from normlib.ops import native
from normlib.ops.registration import BACKENDS
from normlib.ops.settings import Settings
from tests.normlib.ops.test_backends import SHAPES, SUBSETS, assert_close, evaluate, tensors

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        not (torch.cuda.is_available() and native.availability("cuda").ready),
        reason="needs a GPU and the compiled CUDA kernels",
    ),
]

ORDERS = ["contiguous", "channels_last", "strided"]
RATIOS = torch.tensor([0.2, 0.3, 0.5])


def layer_and_input(shape=(4, 32, 14, 14), dtype=torch.float32, **arguments):
    layer = normlib.SwitchNorm(shape[1], **arguments).cuda()
    return layer, torch.randn(shape, device="cuda").to(dtype).requires_grad_()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_reference_in_float64(shape, order):
    x, *rest = tensors(shape, order=order)
    for unbiased in (False, True):
        settings = Settings(unbiased=unbiased)
        expected = evaluate(BACKENDS["reference"], x, *rest, settings=settings)
        actual = evaluate(gpu_native, x, *rest, settings=settings)
        assert_close(actual, expected, 1e-11)


def gpu_native(x, w1, w2, gamma, beta, *others):
    """The backend on the GPU, with arguments and results on the CPU."""
    *fixed, residual, running, settings = others
    there = [None if t is None else t.cuda() for t in (x, w1, w2, gamma, beta, *fixed, residual)]
    buffers = None
    if running is not None:
        buffers = type(running)(running.mean.cuda(), running.var.cuda(), running.momentum)
    y = BACKENDS["native"](*there, buffers, settings)
    if running is not None:
        running.mean.copy_(buffers.mean)
        running.var.copy_(buffers.var)
    return y.cpu()


@pytest.mark.parametrize("normalizers", SUBSETS, ids="-".join)
def test_every_subset_in_training_and_with_fixed_batch_statistics(normalizers):
    settings = Settings(normalizers)
    fixed = (torch.randn(6, dtype=torch.float64), torch.rand(6, dtype=torch.float64) + 0.5)
    arguments = tensors((3, 6, 4, 5), ratios=len(normalizers))
    for statistics in ((None, None), fixed):
        expected = evaluate(BACKENDS["reference"], *arguments, fixed=statistics, settings=settings)
        actual = evaluate(gpu_native, *arguments, fixed=statistics, settings=settings)
        assert_close(actual, expected, 1e-12)


@pytest.mark.parametrize("order", ["contiguous", "channels_last"])
@pytest.mark.parametrize("mean", [3.0, 200.0])
@pytest.mark.parametrize("shape", [(4, 64, 28, 28), (2, 3, 4, 20, 20), (8, 96, 7, 7)], ids=str)
def test_float32_within_1e_5_also_far_from_zero(shape, mean, order):
    x, grad, w1, w2, gamma, beta = tensors(shape, torch.float32, order, mean=mean)
    rest = (grad + (x - mean) / 2, w1, w2, gamma.abs() + 0.5, beta)
    expected = evaluate(BACKENDS["reference"], *(t.double() for t in (x, *rest)))
    assert_close(evaluate(gpu_native, x, *rest), expected, 1e-5)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_statistics_in_float32(dtype, order):
    x, grad, *rest = tensors((4, 16, 12, 12), dtype, order)
    expected = evaluate(BACKENDS["reference"], *(t.double() for t in (x, grad, *rest)))
    actual = evaluate(gpu_native, x, grad, *rest)
    assert_close(actual[:2], expected[:2], 2 * torch.finfo(dtype).eps)
    for k in range(2, len(actual)):
        assert_close([actual[k]], [expected[k]], 1e-4)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_fused_activation_and_residual(order, relu):
    x, grad, *_ = tensors((3, 33, 5, 7), order=order)
    results = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(2)
        layer = normlib.SwitchNorm(33, activation="relu" if relu else None).double().to(device)
        here = x.to(device).requires_grad_()
        residual = torch.randn(x.shape, dtype=x.dtype).to(device).requires_grad_()
        y = layer(here, residual)
        gradients = torch.autograd.grad(y, [here, residual, *layer.parameters()], grad.to(device))
        results.append([t.cpu() for t in (y, *gradients)])
    assert_close(results[1], results[0], 1e-11)


def test_misaligned_input():
    for dtype in (torch.float32, torch.bfloat16):
        for shape in [(2, 5, 7, 9), (2, 16, 8, 8), (3, 40, 33)]:
            storage = torch.randn(torch.Size(shape).numel() + 1, device="cuda").to(dtype)
            x = storage[1:].view(shape)
            ratios = RATIOS.cuda()
            expected = switch_norm(x.clone(), ratios, ratios)
            torch.testing.assert_close(switch_norm(x, ratios, ratios), expected)


def test_bitwise_repeatable():
    layer, x = layer_and_input((8, 64, 56, 56))
    grad = torch.randn_like(x)
    runs = [torch.autograd.grad(layer(x), [x, *layer.parameters()], grad) for _ in range(3)]
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


@pytest.mark.parametrize("channels_last", [False, True])
def test_launches_and_no_synchronisation(channels_last):
    layer, x = layer_and_input((8, 64, 56, 56))
    if channels_last:
        x = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    grad = torch.randn_like(x)
    ratios = [r.detach().requires_grad_() for r in layer.ratios()]

    def step():
        y = switch_norm(x, *ratios, layer.weight, layer.bias, layer.running_mean, layer.running_var)
        return torch.autograd.grad(y, [x, *ratios, layer.weight, layer.bias], grad)

    step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    kernels = [e for e in profile.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    assert 0 < len(kernels) <= 6, [e.name for e in kernels]


def test_can_be_captured_in_a_graph():
    layer, x = layer_and_input()
    grad = torch.randn_like(x)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            torch.autograd.grad(layer(x), x, grad)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        (dx,) = torch.autograd.grad(layer(x), x, grad)
    with torch.no_grad():
        x.copy_(torch.randn_like(x))
    graph.replay()
    (expected,) = torch.autograd.grad(layer(x), x, grad)
    torch.testing.assert_close(dx, expected)


def test_runs_on_the_current_stream():
    layer, x = layer_and_input((8, 64, 112, 112))
    expected = layer(x)
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        later = x.detach() + 0
        y = layer(later)
    stream.synchronize()
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("shape", [(2, 3, 400, 1024, 1024), (70_000, 32, 31, 31)], ids=str)
def test_more_than_2_to_the_31_elements(shape):
    if torch.cuda.mem_get_info()[0] < 3 * 2 * torch.Size(shape).numel():
        pytest.skip("needs more memory")
    x = torch.randn(shape, device="cuda", dtype=torch.float16)
    ratios = RATIOS[:2].cuda() / RATIOS[:2].sum()
    y = switch_norm(x, ratios, ratios, normalizers=("in", "ln"))
    # Neither statistic crosses samples, so that the last one stands for itself.
    expected = switch_norm(x[-1:].clone(), ratios, ratios, normalizers=("in", "ln"))
    torch.testing.assert_close(y[-1:], expected)


def test_compiles_to_one_graph_with_the_same_results():
    layer, x = layer_and_input(activation="relu")
    grad = torch.randn_like(x)
    expected = torch.autograd.grad(layer(x), [x, *layer.parameters()], grad)
    compiled = torch.compile(layer, fullgraph=True)
    actual = torch.autograd.grad(compiled(x), [x, *layer.parameters()], grad)
    torch.testing.assert_close(actual, expected)


def test_operator_passes_opcheck():
    layer, x = layer_and_input((2, 3, 4, 5))
    ratios = [r.detach().requires_grad_() for r in layer.ratios()]
    running = [layer.running_mean, layer.running_var]
    vectors = [*ratios, layer.weight, layer.bias, None, None, *running]
    arguments = (x, torch.randn_like(x), *vectors, 0.1, 7, False, 1e-5, True, False)
    torch.library.opcheck(torch.ops.normlib.switch_norm.default, arguments)


@pytest.mark.parametrize("where", ["number", "cpu", "cuda"])
def test_sparsestmax_equals_the_formulas(where):
    radius = 0.3 if where == "number" else torch.full((), 0.3, device=where)
    logits = 0.3 * torch.randn(500, 3, dtype=torch.float64)
    results = []
    for device, backend in (("cpu", "reference"), ("cuda", "native")):
        leaf = logits.to(device).requires_grad_()
        with normlib.use_backend(backend):
            ratios = sparsestmax(leaf, float(radius) if device == "cpu" else radius)
        ratios.square().sum().backward()
        results.append([ratios.detach().cpu(), leaf.grad.cpu()])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)
