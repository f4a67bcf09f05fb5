"""Every backend against the reference, in float64 and in the data types people train in."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

import normlib
from normlib.functional import switch_norm
from normlib.ops import autograd, eager, eager_cpu
from normlib.ops.registration import BACKENDS
from normlib.ops.running import Running
from normlib.ops.settings import Settings

PASSES = {"eager": eager, "eager_cpu": eager_cpu}
FAST = [*PASSES, "native"]
SHAPES = [
    (4, 6, 5, 7),
    (2, 3, 4, 5, 6),
    (5, 7, 9),
    (3, 33, 1, 1),
    (1, 5, 3, 3),
    (4, 1, 3, 3),
    (2, 48, 40, 40),
    (3, 5, 300, 301),
]
SUBSETS = [("in", "ln", "bn"), ("in", "ln"), ("ln", "bn"), ("in", "bn"), ("in",), ("ln",), ("bn",)]
NAMES = [
    "y",
    "dx",
    "d mean ratios",
    "d var ratios",
    "dgamma",
    "dbeta",
    "running mean",
    "running var",
]


def tensors(shape, dtype=torch.float64, order="contiguous", mean=3.0, std=2.0, ratios=3):
    x = torch.randn(shape, dtype=torch.float64) * std + mean
    grad = torch.randn(shape, dtype=torch.float64)
    x, grad = (arrange(t, order).to(dtype) for t in (x, grad))
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    w1, w2 = (torch.rand(ratios, dtype=wide).softmax(0) for _ in range(2))
    gamma, beta = (torch.randn(shape[1], dtype=wide) for _ in range(2))
    return x, grad, w1, w2, gamma, beta


def arrange(x: Tensor, order: str) -> Tensor:
    if order == "channels_last" and x.dim() > 2:
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    if order == "strided":
        wide = x.new_full((*x.shape[:-1], 2 * x.shape[-1] + 1), float("nan"))
        wide[..., 1::2] = x
        return wide[..., 1::2]
    return x.clone()


def evaluate(function, x, grad, *parameters, fixed=(None, None), residual=None, settings=None):
    leaves = [t.detach().clone().requires_grad_() for t in parameters]
    x = x.detach().requires_grad_()
    settings = settings or Settings()
    wide = leaves[0].dtype
    running = Running(*(torch.full(x.shape[1:2], 7.0, dtype=wide) for _ in range(2)), 1.0)
    y = function(x, *leaves, *fixed, residual, running, settings)
    grads = list(torch.autograd.grad(y, [x, *leaves], grad))
    if parameters[0].numel() == 1:
        grads[1].zero_()  # means something along the simplex only, which here is a point
    return [y, *grads, running.mean, running.var]


def run(backend):
    if backend not in PASSES:
        return BACKENDS[backend]

    def function(*args):
        return autograd.switch_norm(*args, passes=PASSES[backend])

    return function


def assert_close(actual, expected, tolerance):
    for name, a, e in zip(NAMES, actual, expected, strict=False):
        assert a.shape == e.shape, name
        scale = max(e.double().abs().max().item(), 1e-3) if e.numel() else 1.0
        error = (a.double() - e.double()).abs().max().item() if e.numel() else 0.0
        assert error <= tolerance * scale, f"{name}: error {error:.2e}, scale {scale:.2e}"


@pytest.mark.parametrize("order", ["contiguous", "channels_last", "strided"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("backend", FAST)
def test_equals_reference_in_float64(backend, shape, order):
    x, *rest = tensors(shape, order=order)
    for unbiased in (False, True):
        settings = Settings(unbiased=unbiased)
        expected = evaluate(BACKENDS["reference"], x, *rest, settings=settings)
        actual = evaluate(run(backend), x, *rest, settings=settings)
        assert_close(actual, expected, 1e-11)
        if order != "strided":
            assert actual[0].stride() == x.stride()
            assert actual[1].stride() == x.stride()


@pytest.mark.parametrize("normalizers", SUBSETS, ids="-".join)
@pytest.mark.parametrize("backend", FAST)
def test_every_subset_in_training_and_with_fixed_batch_statistics(backend, normalizers):
    settings = Settings(normalizers)
    fixed = (torch.randn(6, dtype=torch.float64), torch.rand(6, dtype=torch.float64) + 0.5)
    arguments = tensors((3, 6, 4, 5), ratios=len(normalizers))
    for statistics in ((None, None), fixed):
        expected = evaluate(BACKENDS["reference"], *arguments, fixed=statistics, settings=settings)
        actual = evaluate(run(backend), *arguments, fixed=statistics, settings=settings)
        assert_close(actual, expected, 1e-12)


@pytest.mark.parametrize("backend", FAST)
def test_two_dimensional_input(backend):
    arguments = tensors((6, 5), ratios=2)
    settings = Settings(("ln", "bn"))
    expected = evaluate(BACKENDS["reference"], *arguments, settings=settings)
    assert_close(evaluate(run(backend), *arguments, settings=settings), expected, 1e-12)


@pytest.mark.parametrize("shape", [(0, 4, 3, 3), (2, 4, 0, 3), (0, 4)], ids=str)
@pytest.mark.parametrize("backend", ["reference", *FAST])
def test_input_without_elements(backend, shape):
    settings = Settings(("ln", "bn")) if len(shape) == 2 else Settings()
    function = run(backend)
    results = evaluate(
        function, *tensors(shape, ratios=len(settings.normalizers)), settings=settings
    )
    assert results[0].shape == results[1].shape == shape
    for name, gradient in zip(NAMES[2:6], results[2:6], strict=True):
        assert torch.equal(gradient, torch.zeros_like(gradient)), name


@pytest.mark.parametrize("order", ["contiguous", "channels_last"])
@pytest.mark.parametrize("mean", [3.0, 200.0])
@pytest.mark.parametrize("shape", [(4, 64, 28, 28), (2, 3, 4, 20, 20), (8, 96, 7, 7)], ids=str)
@pytest.mark.parametrize("backend", FAST)
def test_float32_within_1e_5_also_far_from_zero(backend, shape, mean, order):
    """At a mean of 100 standard deviations, where E[x^2] - E[x]^2 would lose every digit.

    The upstream gradient follows x, and gamma is positive, so that the ratio gradients, sums over
    all samples and channels, do not cancel.
    """
    x, grad, w1, w2, gamma, beta = tensors(shape, torch.float32, order, mean=mean)
    rest = (grad + (x - mean) / 2, w1, w2, gamma.abs() + 0.5, beta)
    expected = evaluate(BACKENDS["reference"], *(t.double() for t in (x, *rest)))
    assert_close(evaluate(run(backend), x, *rest), expected, 1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("backend", FAST)
def test_half_precision_keeps_statistics_in_float32(backend, dtype):
    x, grad, *rest = tensors((4, 16, 12, 12), dtype)
    expected = evaluate(BACKENDS["reference"], *(t.double() for t in (x, grad, *rest)))
    actual = evaluate(run(backend), x, grad, *rest)
    assert actual[0].dtype == actual[1].dtype == dtype
    assert all(t.dtype == torch.float32 for t in actual[2:6])
    assert_close(actual[:2], expected[:2], 2 * torch.finfo(dtype).eps)
    for k in range(2, len(actual)):
        assert_close([actual[k]], [expected[k]], 1e-4)


def test_several_blocks_and_poisoned_memory(monkeypatch):
    monkeypatch.setattr(eager_cpu, "_BLOCK", 100)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)
    try:
        for order in ("contiguous", "channels_last"):
            arguments = tensors((5, 6, 5, 7), order=order)
            expected = evaluate(BACKENDS["reference"], *arguments)
            assert_close(evaluate(run("eager_cpu"), *arguments), expected, 1e-12)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("backend", BACKENDS)
def test_autocast_leaves_float32_statistics_alone(backend, dtype):
    x = torch.randn(2, 8, 6, 6) + 20
    ratios = torch.tensor([0.2, 0.3, 0.5])
    with normlib.use_backend(backend):
        expected = switch_norm(x, ratios, ratios)
        with torch.autocast("cpu", dtype=dtype):
            assert torch.equal(switch_norm(x, ratios, ratios), expected)


@pytest.mark.parametrize("shape", [(4, 64, 28, 28), (4, 32, 7, 7)], ids=str)
def test_control_gradients_keep_digits_far_from_zero(shape):
    """Without differences of means, the common part of their gradients would take all digits."""
    x, grad, w1, w2, gamma, beta = tensors(shape, torch.float32, mean=200.0)
    results = []
    for dtype in (torch.float64, torch.float32):
        logits = w1.log().to(dtype).requires_grad_()
        y = switch_norm(
            x.to(dtype), logits.softmax(0), w2.to(dtype), gamma.to(dtype), beta.to(dtype)
        )
        results.append(torch.autograd.grad(y, logits, grad.to(dtype))[0])
    error = (results[1] - results[0]).abs().max() / results[0].abs().max()
    assert error < 1e-5


@pytest.mark.parametrize("backend", FAST)
def test_gradcheck(backend):
    x, _, *parameters = tensors((3, 4, 2, 3))
    leaves = [t.requires_grad_() for t in (x, *parameters)]
    for normalizers in (("in", "ln", "bn"), ("in", "ln")):
        settings = Settings(normalizers)
        k = len(normalizers)

        def function(x, w1, w2, gamma, beta, settings=settings, k=k):
            ratios = (w[:k].softmax(0) for w in (w1, w2))
            return run(backend)(x, *ratios, gamma, beta, None, None, None, None, settings)

        assert torch.autograd.gradcheck(function, leaves)


def test_non_finite_values_spread_to_the_statistics_they_enter_and_no_further():
    x = torch.randn(3, 4, 5, 5)
    x[1, 2, 0, 0] = float("inf")
    half = torch.tensor([0.5, 0.5])
    for normalizers, touched in [
        (("in",), lambda y: y[1, 2]),
        (("in", "ln"), lambda y: y[1]),
        (("in", "bn"), lambda y: y[:, 2]),
    ]:
        ratios = half[: len(normalizers)] * (2 / len(normalizers))
        y = switch_norm(x, ratios, ratios, normalizers=normalizers)
        assert not torch.isfinite(touched(y)).any()
        finite = torch.ones_like(y, dtype=torch.bool)
        touched(finite).fill_(False)
        assert torch.isfinite(y[finite]).all()


def test_saves_the_input_and_no_second_tensor_of_its_size():
    layer = normlib.SwitchNorm(64)
    x = torch.randn(8, 64, 28, 28, requires_grad=True)
    saved: dict[int, int] = {}

    def pack(tensor):
        saved[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(x)
    assert x.data_ptr() in saved
    assert sum(saved.values()) <= 1.05 * x.untyped_storage().nbytes()


@pytest.mark.parametrize("loss", ["of x", "linear in the gradient"])
@pytest.mark.parametrize("backend", ["eager", "native"])
def test_second_derivative_is_refused(backend, loss):
    """Also where the upstream gradient is a constant, and only the saved input depends on x."""
    layer = normlib.SwitchNorm(4).double()
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    with normlib.use_backend(backend):
        y = layer(x).square() if loss == "of x" else layer(x) * torch.randn_like(x)
        (dx,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match=r"first derivatives only; .* reference"):
            dx.square().sum().backward()


def test_the_reference_has_second_derivatives():
    layer = normlib.SwitchNorm(4).double()
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    with normlib.use_backend("reference"):
        assert torch.autograd.gradgradcheck(layer, [x])


@pytest.mark.parametrize("backend", ["eager", "native"])
def test_forward_mode_and_function_transforms(backend):
    """The passes have no such derivatives; the formulas serve."""
    x, direction = torch.randn(2, 2, 4, 3, 3, dtype=torch.float64)
    layer = normlib.SwitchNorm(4).double().requires_grad_(False).eval()
    with normlib.use_backend("reference"):
        expected = torch.func.jvp(layer, (x,), (direction,))[1]
        batched = torch.func.vmap(layer)(torch.stack((x, direction)))
    with normlib.use_backend(backend):
        torch.testing.assert_close(torch.func.jvp(layer, (x,), (direction,))[1], expected)
        torch.testing.assert_close(torch.func.vmap(layer)(torch.stack((x, direction))), batched)
        with forward_ad.dual_level():
            y = layer(forward_ad.make_dual(x, direction))
            torch.testing.assert_close(forward_ad.unpack_dual(y).tangent, expected)
    assert expected.abs().sum() > 1


@pytest.mark.parametrize("backend", ["eager", "native"])
def test_running_statistics_that_move_on_before_the_backward(backend):
    layer = normlib.SwitchNorm(4)
    x = torch.randn(3, 4, 5, 5, requires_grad=True)
    with normlib.use_backend(backend):
        (expected,) = torch.autograd.grad(layer.eval()(x).square().sum(), x)
        y = layer(x)
        version = layer.running_mean._version
        layer.train()(10 * x.detach())
        assert layer.running_mean._version > version
        (dx,) = torch.autograd.grad(y.square().sum(), x)
    torch.testing.assert_close(dx, expected)


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("what", ["layer", "input", "residual"])
def test_tensors_on_different_devices_are_refused(what, backend):
    layer = normlib.SwitchNorm(4, device="meta" if what == "layer" else "cpu")
    x = torch.randn(2, 4, 3, 3, device="meta" if what == "input" else "cpu")
    residual = torch.randn(2, 4, 3, 3, device="meta") if what == "residual" else None
    refused = pytest.raises(ValueError, match=r"is on (meta|cpu), input on (cpu|meta)")
    with normlib.use_backend(backend), refused:
        layer(x, residual)


@pytest.mark.parametrize("backend", ["eager", "native"])
def test_running_statistics_in_any_order_of_memory(backend):
    x, buffers = torch.randn(3, 4, 5, 5), torch.zeros(4, 2)
    ratios = torch.full((3,), 1 / 3)
    with normlib.use_backend(backend):
        switch_norm(x, ratios, ratios, None, None, buffers[:, 0], buffers[:, 1], momentum=1.0)
    torch.testing.assert_close(buffers[:, 0], x.mean((0, 2, 3)))


def test_the_backend_in_use_can_be_read_and_forced():
    usual = normlib.backend()
    assert usual.name == "native"
    assert "compiled for the CPU" in usual.reason
    with normlib.use_backend("reference"):
        assert normlib.backend().name == "reference"
    assert normlib.backend() == usual
    unknown = normlib.use_backend("cudnn")
    with pytest.raises(ValueError, match=r"'cudnn'.*eager, native, reference"), unknown:
        pass


@pytest.mark.parametrize(
    ("value", "expected"),
    [("reference", "reference"), ("nope", "NORMLIB_BACKEND is 'nope'; the backends are eager")],
)
def test_the_environment_forces_a_backend(value, expected):
    code = "import normlib; print(normlib.backend().name)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NORMLIB_BACKEND": value},
        capture_output=True,
        text=True,
    )
    assert expected in result.stdout + result.stderr


def test_import_needs_torch_alone():
    code = """
import sys
import normlib
heavy = {"mmengine", "mmcv", "mmdet", "mmseg", "torchvision", "cv2", "pycocotools"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
