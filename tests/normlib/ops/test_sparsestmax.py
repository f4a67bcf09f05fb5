"""SparsestMax: its properties, and the compiled operator against the formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import forward_ad

import normlib
from normlib.functional import sparsestmax
from normlib.ops import native

compiled = pytest.mark.skipif(
    not native.availability("cpu").ready, reason=native.availability("cpu").reason
)


@pytest.fixture(params=["reference", pytest.param("native", marks=compiled)])
def backend(request):
    with normlib.use_backend(request.param):
        yield request.param


pytestmark = pytest.mark.usefixtures("backend")


def test_radius_0_is_the_euclidean_projection_on_the_simplex():
    logits = torch.randn(200, 3, dtype=torch.float64)
    projected = sparsestmax(logits, 0)
    assert (projected >= 0).all()
    torch.testing.assert_close(projected.sum(-1), torch.ones(200, dtype=torch.float64))
    grid = torch.linspace(0, 1, 101, dtype=torch.float64)
    a, b = torch.meshgrid(grid, grid, indexing="ij")
    simplex = torch.stack([a, b, 1 - a - b], -1)[a + b <= 1]
    distances = torch.cdist(logits, simplex).min(1).values
    assert ((logits - projected).norm(dim=-1) <= distances + 1e-12).all()


def sparsestmax_step_by_step(logits: list[float], radius: float) -> torch.Tensor:
    """Shao et al., arXiv 1903.03793, algorithm 1, for one vector."""
    point = sparsestmax(torch.tensor(logits, dtype=torch.float64), 0)
    centre = (point > 0) / (point > 0).sum().double()
    while True:
        offset = point - centre
        if offset.norm() < 1e-12 or offset.norm() >= radius or (point > 0).sum() == 1:
            return point
        pushed = centre + radius * offset / offset.norm()
        if (pushed >= 0).all():
            return pushed
        point = sparsestmax(pushed, 0)
        smaller = (point > 0) / (point > 0).sum().double()
        radius = math.sqrt(max(radius**2 - (smaller - centre).square().sum().item(), 0))
        centre = smaller


@pytest.mark.parametrize("size", [2, 3, 4, 6])
@pytest.mark.parametrize("radius", [0.0, 0.1, 0.3, 0.45, 0.6, 0.75, 0.9])
def test_sparsestmax_is_the_published_procedure(radius, size):
    logits = torch.cat([torch.randn(100, size) * s for s in (0.05, 0.3, 1.0)]).double()
    logits[::4, 1] = logits[::4, 0]
    expected = torch.stack([sparsestmax_step_by_step(z.tolist(), radius) for z in logits])
    torch.testing.assert_close(sparsestmax(logits, radius), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("radius", [0.0, 0.1, 0.41, 0.5, 0.72, 0.8])
def test_sparsestmax_lies_on_the_simplex_at_the_radius_or_beyond(radius):
    logits = torch.randn(2000, 3, dtype=torch.float64) * 0.5
    ratios = sparsestmax(logits, radius)
    assert (ratios >= 0).all()
    torch.testing.assert_close(ratios.sum(-1), torch.ones(2000, dtype=torch.float64))
    inner = (ratios > 0).all(-1)
    assert ((ratios[inner] - 1 / 3).norm(dim=-1) >= radius - 1e-12).all()
    assert torch.equal(ratios.argmax(-1), logits.argmax(-1))


def test_sparsestmax_by_hand():
    # Sparsemax (0.4, 0.35, 0.25): at distance 0.1080 from the centre, pushed to 0.2.
    logits = torch.tensor([0.4, 0.35, 0.25], dtype=torch.float64)
    offset = logits - 1 / 3
    expected = 1 / 3 + 0.2 * offset / offset.norm()
    torch.testing.assert_close(sparsestmax(logits, 0.2), expected)
    # At radius 0.6 that leaves the simplex: on the edge of the first two entries the remaining
    # radius is sqrt(0.36 - 1/6).
    pushed = 1 / 3 + 0.6 * offset / offset.norm()
    assert pushed[2] < 0
    reach = math.sqrt(0.36 - 1 / 6) / math.sqrt(2)
    expected = torch.tensor([0.5 + reach, 0.5 - reach, 0.0], dtype=torch.float64)
    torch.testing.assert_close(sparsestmax(logits, 0.6), expected)
    # A sparsemax that starts on an edge keeps the whole radius.
    edge = torch.tensor([0.6, 0.4, -1.0], dtype=torch.float64)
    expected = torch.tensor([0.5 + 0.3 / math.sqrt(2), 0.5 - 0.3 / math.sqrt(2), 0.0]).double()
    torch.testing.assert_close(sparsestmax(edge, 0.3), expected)


def test_every_ratio_is_one_hot_from_sqrt_two_thirds_on_and_pairs_appear_beyond_one_over_sqrt_six():
    logits = torch.randn(3000, 3, dtype=torch.float64) * 0.1
    assert (sparsestmax(logits, 0.40) > 0).all(-1).float().mean() > 0.9
    assert ((sparsestmax(logits, 0.42) > 0).sum(-1) == 2).any()
    assert not (sparsestmax(logits, 0.80).amax(-1) == 1).all()
    assert (sparsestmax(logits, math.sqrt(2 / 3) + 1e-9).amax(-1) == 1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [1.0, 0.1, -3.7])
def test_at_the_centre_the_ratios_are_uniform_with_the_gradient_of_sparsemax(value, dtype):
    logits = torch.full((3,), value, dtype=dtype, requires_grad=True)
    ratios = sparsestmax(logits, 0.3)
    torch.testing.assert_close(ratios, torch.full((3,), 1 / 3, dtype=dtype))
    (gradient,) = torch.autograd.grad(ratios[0], logits)
    torch.testing.assert_close(gradient, torch.tensor([2 / 3, -1 / 3, -1 / 3], dtype=dtype))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("radius", [0.0, 0.2, 0.45, 0.7, 0.9])
def test_gradient_of_sparsestmax(radius, size):
    logits = torch.randn(40, size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: sparsestmax(z, radius), (logits,))
    (gradient,) = torch.autograd.grad(
        (sparsestmax(logits, radius) * torch.randn(40, size)).sum(), logits
    )
    torch.testing.assert_close(
        gradient.sum(-1), torch.zeros(40, dtype=torch.float64), rtol=0, atol=1e-10
    )


def test_one_hot_ratios_have_no_gradient():
    logits = torch.randn(50, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad((sparsestmax(logits, 1.0) * torch.randn(50, 3)).sum(), logits)
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("radius", [0.3, 0.5, 0.7, 1.0])
def test_equal_largest_logits_end_at_the_centre_of_their_edge(radius, dtype):
    logits = torch.tensor([1.0, 1.0, 0.9], dtype=dtype, requires_grad=True)
    ratios = sparsestmax(logits, radius)
    assert ratios[0] == ratios[1] > ratios[2] >= 0
    torch.testing.assert_close(ratios.sum(), torch.ones((), dtype=dtype))
    if radius > math.sqrt(1 / 6):
        assert ratios.tolist() == [0.5, 0.5, 0]
    (gradient,) = torch.autograd.grad(ratios[0], logits)
    assert torch.isfinite(gradient).all()


def test_a_nan_logit_gives_nan():
    assert sparsestmax(torch.tensor([0.0, float("nan"), 1.0]), 0.5).isnan().any()


@pytest.mark.parametrize("radius", [-0.1, math.inf, math.nan])
def test_radius_out_of_range(radius):
    with pytest.raises(ValueError, match="it must be 0 or more, and finite"):
        sparsestmax(torch.zeros(3), radius)


def evaluate(name, logits, radius, grad):
    logits = logits.clone().requires_grad_()
    with normlib.use_backend(name):
        ratios = sparsestmax(logits, radius)
        return ratios.detach(), *torch.autograd.grad(ratios, logits, grad)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("radius", [0.0, 0.2, 0.43, 0.6, 0.75, 0.9])
def test_equals_the_formulas(backend, radius, size):
    logits = torch.cat([torch.randn(300, size) * s for s in (0.05, 0.3, 1.0, 1e4)]).double()
    logits[::5, 0] = logits[::5, -1]
    grad = torch.randn_like(logits)
    expected = evaluate("reference", logits, radius, grad)
    for result, reference in zip(evaluate(backend, logits, radius, grad), expected, strict=True):
        torch.testing.assert_close(result, reference, rtol=1e-10, atol=1e-10)
    # Ratios that are one-hot are so to the last bit, for the choice is read from them.
    one_hot = expected[0].amax(-1) == 1
    assert torch.equal(evaluate(backend, logits, radius, grad)[0][one_hot], expected[0][one_hot])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_other_data_types(dtype):
    logits, grad = (0.3 * torch.randn(2, 50, 3)).to(dtype)
    exact = evaluate("reference", logits.double(), 0.3, grad.double())
    for result, expected in zip(evaluate("native", logits, 0.3, grad), exact, strict=True):
        assert result.dtype == dtype
        near = 8 * torch.finfo(dtype).eps
        torch.testing.assert_close(result.double(), expected, rtol=near, atol=20 * near)


@pytest.mark.parametrize(
    "radius", [torch.tensor(0.3), torch.tensor(0.3).double(), torch.tensor(0.3).half()], ids=str
)
def test_radius_of_any_data_type(radius):
    logits = torch.randn(20, 3, dtype=torch.float64)
    expected = sparsestmax(logits, float(radius))
    torch.testing.assert_close(sparsestmax(logits, radius), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 0, 3), (2, 4, 3), (5, 9)])
def test_any_shape(shape):
    logits = torch.randn(shape)
    ratios = sparsestmax(logits, 0.3)
    assert ratios.shape == shape
    torch.testing.assert_close(ratios.sum(-1), torch.ones(shape[:-1]))


def test_strided_logits():
    logits = torch.randn(3, 20, dtype=torch.float64)
    torch.testing.assert_close(sparsestmax(logits.T, 0.3), sparsestmax(logits.T.contiguous(), 0.3))


def test_a_radius_for_each_vector():
    logits, radii = torch.randn(4, 3), torch.tensor([[0.0], [0.2], [0.5], [1.0]])
    expected = torch.stack([sparsestmax(z, float(r)) for z, r in zip(logits, radii, strict=True)])
    torch.testing.assert_close(sparsestmax(logits, radii), expected)


@compiled
def test_second_derivatives_are_those_of_the_formulas_or_refused(backend):
    logits = torch.randn(20, 3, dtype=torch.float64, requires_grad=True)
    if backend == "reference":
        assert torch.autograd.gradgradcheck(lambda z: sparsestmax(z, 0.3), (logits,))
        return
    (gradient,) = torch.autograd.grad(
        (sparsestmax(logits, 0.3) * torch.randn(20, 3)).sum(), logits, create_graph=True
    )
    with pytest.raises(RuntimeError, match=r"sparsestmax have first derivatives only"):
        gradient.square().sum().backward()


def test_forward_mode_and_function_transforms():
    logits, direction = 0.3 * torch.randn(2, 6, 3, dtype=torch.float64)
    with normlib.use_backend("reference"):
        expected = torch.func.jvp(lambda z: sparsestmax(z, 0.3), (logits,), (direction,))[1]
    assert expected.abs().sum() > 0.1
    with forward_ad.dual_level():
        ratios = sparsestmax(forward_ad.make_dual(logits, direction), 0.3)
        torch.testing.assert_close(forward_ad.unpack_dual(ratios).tangent, expected)
    batched = torch.func.vmap(lambda z: sparsestmax(z, 0.3))(logits)
    torch.testing.assert_close(batched, sparsestmax(logits, 0.3))


def test_a_trace_holds_pytorchs_own_operators():
    traced = torch.jit.trace(lambda z: sparsestmax(z, 0.3), torch.randn(2, 3), check_trace=False)
    assert "normlib::" not in str(traced.inlined_graph)


@compiled
@pytest.mark.parametrize("requires_grad", [False, True])
def test_operator_passes_opcheck(requires_grad):
    logits = torch.randn(4, 3, requires_grad=requires_grad)
    torch.library.opcheck(torch.ops.normlib.sparsestmax.default, (logits, torch.tensor(0.3)))


@compiled
@pytest.mark.parametrize(
    ("logits", "radius"),
    [
        (torch.randn(2, 9), torch.tensor(0.3)),
        (torch.randn(3), torch.tensor(0.3)),
        (torch.randn(3, 2).T, torch.tensor(0.3)),
        (torch.randn(2, 3).half(), torch.tensor(0.3)),
        (torch.randn(2, 3), torch.tensor([0.3, 0.3])),
    ],
)
def test_operator_refuses_what_its_kernel_cannot_read(logits, radius):
    with pytest.raises(RuntimeError, match=r"normlib: sparsestmax: logits must be contiguous"):
        torch.ops.normlib.sparsestmax(logits, radius)


@pytest.mark.slow
@pytest.mark.parametrize("radius", [0.0, 0.3, 1.0])
def test_compiled_layer(backend, radius):
    layer = normlib.SparseSwitchNorm(4, radius=radius).double()
    with torch.no_grad():
        layer.mean_weight += torch.tensor([0.05, 0.0, -0.03])
    x = torch.randn(3, 4, 5, 5, dtype=torch.float64)
    graph = torch.compile(layer, fullgraph=True)
    results = []
    for call in (layer, graph):
        layer.zero_grad()
        layer.reset_running_stats()
        y = call(x)
        y.square().mul(torch.linspace(0, 1, y.numel()).view_as(y)).sum().backward()
        results.append([y.detach(), layer.mean_weight.grad, layer.var_weight.grad])
    for plain, traced in zip(*results, strict=True):
        torch.testing.assert_close(traced, plain)
