"""The compiled CPU kernels: as operators of PyTorch, and where only they can go wrong."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

import normlib
from normlib.functional import switch_norm
from normlib.ops import native, operators
from normlib.ops.registration import BACKENDS
from normlib.ops.settings import Settings
from tests.normlib.ops.test_backends import arrange, assert_close, evaluate, tensors

pytestmark = pytest.mark.skipif(
    not native.availability("cpu").ready, reason=native.availability("cpu").reason
)

RATIOS = torch.tensor([0.2, 0.3, 0.5])
ops = torch.ops.normlib


def call_of(x, residual=None, running=False, relu=False, requires_grad=False):
    """Arguments of normlib::switch_norm."""
    channels = x.shape[1]
    vectors = [RATIOS, RATIOS.flip(0), torch.rand(channels), torch.randn(channels)]
    vectors = [v.clone().requires_grad_(requires_grad) for v in vectors]
    buffers = [torch.zeros(channels), torch.ones(channels)] if running else [None, None]
    return (x, residual, *vectors, None, None, *buffers, 0.1, 7, False, 1e-5, relu, False)


@pytest.mark.parametrize("order", ["contiguous", "channels_last"])
@pytest.mark.parametrize("relu", [False, True])
def test_operators_pass_opcheck(order, relu):
    x = tensors((2, 3, 4, 5), torch.float32, order)[0].requires_grad_()
    residual = torch.randn_like(x).requires_grad_()
    for arguments in (
        call_of(x, requires_grad=True, relu=relu),
        call_of(x, residual, running=True, requires_grad=True, relu=relu),
        call_of(x.detach(), running=True, relu=relu),
    ):
        torch.library.opcheck(ops.switch_norm.default, arguments)


@pytest.mark.parametrize("order", ["contiguous", "channels_last"])
def test_parts_pass_opcheck(order):
    x, grad = tensors((2, 3, 4, 5), torch.float32, order)[:2]
    mixing = (RATIOS, RATIOS.flip(0), torch.rand(3), torch.randn(3), None, None)
    settings = (7, False, 1e-5, True)
    torch.library.opcheck(ops.statistics.default, (x, None, None, 7, False))
    statistics = ops.statistics(x, None, None, 7, False)
    gathered = torch.stack([statistics[2], statistics[2]])
    torch.library.opcheck(ops.merge.default, (gathered,))
    saved = (*statistics, ops.merge(gathered))
    residual = torch.randn_like(x)
    torch.library.opcheck(ops.apply.default, (x, residual, *saved, *mixing, *settings, True))
    _, mask = ops.apply(x, residual, *saved, *mixing, *settings, True)
    backward = (grad, x, mask, *saved, *mixing, *settings)
    torch.library.opcheck(ops.backward_reduce.default, backward)
    sums = ops.backward_reduce(*backward)[:3]
    torch.library.opcheck(ops.backward_apply.default, (*backward, *sums, True, True))
    whole = (grad, x, mask, *statistics, *mixing, *settings, True, True)
    torch.library.opcheck(ops.switch_norm_backward.default, whole)


def test_every_operator_has_a_kernel():
    for schema in operators.SCHEMAS:
        name = "normlib::" + schema.partition("(")[0]
        assert torch._C._dispatch_has_kernel_for_dispatch_key(name, "CPU"), name


@pytest.mark.parametrize("order", ["contiguous", "channels_last", "strided"])
@pytest.mark.parametrize(
    "shape", [(3, 5, 4, 7), (2, 33, 9), (2, 3, 2, 3, 5), (4, 6, 1, 1)], ids=str
)
@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize("relu", [False, True])
def test_fused_activation_and_residual_equal_the_reference(relu, with_residual, shape, order):
    x, *rest = tensors(shape, order=order)
    settings = Settings(relu=relu)
    results = []
    for backend in ("reference", "native"):
        torch.manual_seed(1)
        residual = torch.randn(shape, dtype=x.dtype, requires_grad=True) if with_residual else None

        results.append(evaluate_with_residual(BACKENDS[backend], x, *rest, residual, settings))
    assert_close(results[1], results[0], 1e-11)


def evaluate_with_residual(function, x, grad, w1, w2, gamma, beta, residual, settings):
    leaves = [t.detach().clone().requires_grad_() for t in (x, w1, w2, gamma, beta)]
    y = function(*leaves, None, None, residual, None, settings)
    wanted = [*leaves, residual] if residual is not None else leaves
    return [y, *torch.autograd.grad(y, wanted, grad)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_gradient_of_the_fused_relu_is_zero_where_gamma_is(dtype):
    """The mask cannot come from y: gamma 0 makes y constant."""
    x = torch.randn(2, 4, 5, 5).to(dtype).requires_grad_()
    gamma = torch.tensor([0.0, 1.0, -1.0, 0.0])
    for beta, passing in ((1.0, True), (-1.0, False)):
        y = switch_norm(x, RATIOS, RATIOS, gamma, torch.full((4,), beta), activation="relu")
        assert bool((y[:, 0] > 0).all()) == passing
        bias = torch.full((4,), beta, requires_grad=True)
        z = switch_norm(x, RATIOS, RATIOS, gamma, bias, activation="relu")
        (dbias,) = torch.autograd.grad(z.sum(), bias)
        assert dbias[0] == (2 * 25 if passing else 0)


def test_outputs_are_written_everywhere():
    shapes = [(2, 5, 7, 9), (3, 4, 1, 1), (0, 4, 3, 3), (2, 4, 0, 3)]
    for shape in shapes:
        for order in ("contiguous", "channels_last"):
            for _ in range(2):
                poison = [torch.full((1 << k,), float("nan")) for k in range(4, 16)]
                del poison
                arguments = tensors(shape, torch.float32, order)
                expected = evaluate(BACKENDS["reference"], *(t.double() for t in arguments))
                assert_close(evaluate(BACKENDS["native"], *arguments), expected, 1e-4)


@pytest.mark.parametrize("order", ["contiguous", "channels_last"])
@pytest.mark.parametrize("normalizers", [("in", "ln"), ("in",), ("ln",), ("in", "ln", "bn")])
def test_samples_that_are_worked_on_one_at_a_time(normalizers, order):
    """Without statistics over the batch, samples of 2 MB and more are normalised one by one."""
    arguments = tensors((3, 2, 420, 321), order=order, ratios=len(normalizers))
    assert arguments[0][0].nbytes > 1 << 21
    settings = Settings(normalizers)
    fixed = (torch.randn(2, dtype=torch.float64), torch.rand(2, dtype=torch.float64) + 0.5)
    fixed = fixed if "bn" in normalizers else (None, None)
    expected = evaluate(BACKENDS["reference"], *arguments, fixed=fixed, settings=settings)
    actual = evaluate(BACKENDS["native"], *arguments, fixed=fixed, settings=settings)
    assert_close(actual, expected, 1e-11)


@pytest.mark.parametrize("order", ["contiguous", "channels_last"])
@pytest.mark.parametrize(
    ("dtype", "size"),
    [(torch.float32, 130), (torch.float64, 92), (torch.bfloat16, 184), (torch.float16, 184)],
)
@pytest.mark.parametrize("channels", [72, 65])
def test_results_that_leave_past_the_caches(channels, dtype, size, order):
    """From 8 MB on results are streamed, where they are aligned: those of 65 channels are not all.

    With instance statistics alone, half of the samples come to the same, without streaming.
    """
    shape = (2, channels, size, size)
    x, grad, w, _, gamma, beta = tensors(shape, dtype, order, ratios=1)
    residual = arrange(torch.randn(shape), order).to(dtype).requires_grad_()
    assert x.nbytes > 1 << 23 > x[:1].nbytes
    for relu in (False, True):
        settings = Settings(normalizers=("in",), relu=relu)
        whole, *halves = (
            evaluate_with_residual(
                BACKENDS["native"], x[n], grad[n], w, w, gamma, beta, residual[n], settings
            )
            for n in (slice(None), slice(1), slice(1, 2))
        )
        for k in (0, 1, -1):  # y, dx, dresidual
            torch.testing.assert_close(whole[k], torch.cat([half[k] for half in halves]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 9, 11, 12])
def test_rows_too_short_for_a_group_of_vectors(size, dtype):
    """Rows are taken four at a time up to 11 x 11; 15 of them leave three over."""
    arguments = tensors((3, 5, size, size), dtype)
    expected = evaluate(BACKENDS["reference"], *(t.double() for t in arguments))
    tolerance = 1e-11 if dtype == torch.float64 else 1e-4 if dtype == torch.float32 else 2e-2
    assert_close(evaluate(BACKENDS["native"], *arguments), expected, tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_misaligned_input(dtype):
    for shape in [(2, 5, 7, 9), (2, 16, 8, 8)]:
        storage = torch.randn(torch.Size(shape).numel() + 1).to(dtype)
        x = storage[1:].view(shape)
        aligned = x.clone()
        for t in (x, x.to(memory_format=torch.channels_last)):
            y = switch_norm(t, RATIOS, RATIOS)
            torch.testing.assert_close(y, switch_norm(aligned, RATIOS, RATIOS))


@pytest.mark.parametrize("order", ["contiguous", "channels_last"])
@pytest.mark.parametrize(
    "shape", [(4, 64, 40, 40), (2, 3, 200, 300), (64, 300, 3, 3), (2, 331, 10, 10)], ids=str
)
def test_results_do_not_depend_on_the_number_of_threads(shape, order):
    arguments = tensors(shape, torch.float32, order)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(evaluate(BACKENDS["native"], *arguments))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_gradients_that_are_expanded_or_in_another_order():
    x = torch.randn(2, 6, 4, 5, requires_grad=True)
    layer = normlib.SwitchNorm(6)
    (expected,) = torch.autograd.grad(layer(x), x, torch.ones(2, 6, 4, 5))
    (expanded,) = torch.autograd.grad(layer(x).sum(), x)
    torch.testing.assert_close(expanded, expected)
    grad = torch.randn(2, 6, 4, 5)
    (expected,) = torch.autograd.grad(layer(x), x, grad)
    (other,) = torch.autograd.grad(layer(x), x, grad.to(memory_format=torch.channels_last))
    torch.testing.assert_close(other, expected)


def test_only_what_needs_a_gradient_gets_one():
    x = torch.randn(2, 6, 4, 5)
    layer = normlib.SwitchNorm(6)
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    layer.requires_grad_(False)
    x.requires_grad_()
    (dx,) = torch.autograd.grad(layer(x).square().sum(), x)
    assert torch.isfinite(dx).all()


def test_parameters_of_another_dtype():
    layer = normlib.SwitchNorm(6)
    x = torch.randn(2, 6, 5, 5)
    expected = layer(x)
    layer = layer.to(torch.bfloat16)
    layer.reset_running_stats()
    y = layer(x.to(torch.bfloat16))
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected, atol=0.03, rtol=0.03)
    y.float().square().sum().backward()
    assert layer.weight.grad.dtype == torch.bfloat16
    assert layer.running_mean.dtype == torch.bfloat16
    assert layer.running_mean.abs().max() > 0


def test_compiled_model_equals_eager_model_and_has_one_graph():
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), normlib.SwitchNorm(8, activation="relu"), torch.nn.Conv2d(8, 4, 1)
    )
    x = torch.randn(2, 3, 9, 9)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    expected = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    running = model[1].running_mean.clone()
    model.load_state_dict(before)
    actual = torch.autograd.grad(compiled(x).square().sum(), list(model.parameters()))
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(model[1].running_mean, running)


@pytest.mark.parametrize("instructions", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_the_processor_has(instructions):
    code = "import normlib; print(normlib.backend().reason)"
    environment = {**os.environ, "NORMLIB_CPU_INSTRUCTIONS": instructions}
    chosen = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    if instructions not in chosen.stdout:
        pytest.skip(f"this processor has no {instructions}")
    if instructions == native.availability("cpu").reason:
        return  # it is what all other tests run on
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "native"]
    tests = ["tests/normlib/ops/test_backends.py"]
    result = subprocess.run([*command, *tests], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:]
