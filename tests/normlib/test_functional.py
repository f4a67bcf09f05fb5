from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from normlib.functional import sparsestmax, switch_norm

UNIFORM = torch.full((3,), 1 / 3)


def one_hot(k, size=3):
    return F.one_hot(torch.tensor(k), size).float()


def test_single_ratios_are_the_classical_norms():
    x = torch.randn(4, 6, 5, 7) * 3 + 1
    gamma, beta = torch.randn(6), torch.randn(6)
    expected = [
        F.instance_norm(x, weight=gamma, bias=beta),
        F.layer_norm(x, x.shape[1:]) * gamma.view(1, -1, 1, 1) + beta.view(1, -1, 1, 1),
        F.batch_norm(x, None, None, gamma, beta, training=True),
    ]
    for k, classical in enumerate(expected):
        y = switch_norm(x, one_hot(k), one_hot(k), gamma, beta)
        torch.testing.assert_close(y, classical, rtol=1e-5, atol=1e-5)


def test_running_statistics_follow_momentum_and_serve_evaluation():
    x = torch.randn(8, 5, 6, 6, dtype=torch.float64) * 2 + 3
    mean, var = torch.zeros(5, dtype=torch.float64), torch.ones(5, dtype=torch.float64)
    ratios = one_hot(2).double()
    switch_norm(x, ratios, ratios, running_mean=mean, running_var=var, momentum=0.25)
    batch_var, batch_mean = torch.var_mean(x, (0, 2, 3), correction=0)
    torch.testing.assert_close(mean, 0.25 * batch_mean)
    torch.testing.assert_close(var, 0.75 + 0.25 * batch_var)
    y = switch_norm(x, ratios, ratios, running_mean=mean, running_var=var, training=False)
    torch.testing.assert_close(y, F.batch_norm(x, mean, var))


def test_an_empty_batch_leaves_running_statistics_alone():
    mean, var = torch.full((4,), 2.0), torch.full((4,), 3.0)
    switch_norm(torch.empty(0, 4, 2, 2), UNIFORM, UNIFORM, running_mean=mean, running_var=var)
    assert mean.eq(2).all()
    assert var.eq(3).all()


def test_unbiased_is_the_arithmetic_of_the_released_layers():
    """LN and BN variances derived from the unbiased instance variance, as E[v + m^2] - E[m]^2."""
    x = torch.randn(4, 6, 3, 5, dtype=torch.float64)
    w1, w2 = (torch.rand(3, dtype=torch.float64).softmax(0) for _ in range(2))
    m, v = x.mean((2, 3)), x.var((2, 3), correction=1)
    second = v + m.square()
    mu_ln, mu_bn = m.mean(1, keepdim=True), m.mean(0)
    var_ln = second.mean(1, keepdim=True) - mu_ln.square()
    var_bn = second.mean(0) - mu_bn.square()
    mixed_mean = w1[0] * m + w1[1] * mu_ln + w1[2] * mu_bn
    mixed_var = w2[0] * v + w2[1] * var_ln + w2[2] * var_bn
    expected = (x - mixed_mean[..., None, None]) / (mixed_var[..., None, None] + 1e-5).sqrt()
    torch.testing.assert_close(switch_norm(x, w1, w2, unbiased=True), expected)


@pytest.mark.parametrize("unbiased", [False, True])
def test_a_single_position_has_instance_variance_zero(unbiased):
    x = torch.randn(4, 6, 1, 1)
    y = switch_norm(x, one_hot(0), one_hot(0), bias=torch.arange(6.0), unbiased=unbiased)
    # 1 / sqrt(eps) times the rounding of a mean to float32
    atol = 316 * torch.finfo(torch.float32).eps
    torch.testing.assert_close(
        y, torch.arange(6.0).view(1, 6, 1, 1).expand_as(y), atol=atol, rtol=0
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(2, 4, 3, dtype=torch.int64), UNIFORM, UNIFORM), "torch.int64"),
        ((torch.randn(4), UNIFORM, UNIFORM), r"shape \(4,\)"),
        ((torch.randn(1, 2, 1, 1, 1, 1), UNIFORM, UNIFORM), r"\(N, C\) to \(N, C, D, H, W\)"),
        ((torch.randn(2, 4), UNIFORM, UNIFORM), "leave 'in' out"),
        ((torch.randn(2, 4, 3), UNIFORM[:2], UNIFORM), r"mean_ratios has shape \(2,\)"),
        ((torch.randn(2, 4, 3), UNIFORM, torch.ones(1, 3)), r"var_ratios has shape \(1, 3\)"),
        ((torch.randn(2, 4, 3), UNIFORM, UNIFORM, torch.ones(5)), "weight has shape .* 4 channels"),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        switch_norm(*arguments)


@pytest.mark.parametrize("normalizers", [(), ("bn", "in"), ("in", "gn"), ("in", "in"), "in"])
def test_unknown_normalizers(normalizers):
    with pytest.raises(ValueError, match=r"subset of \('in', 'ln', 'bn'\)"):
        switch_norm(torch.randn(2, 3, 4), UNIFORM, UNIFORM, normalizers=normalizers)


def test_evaluation_without_running_statistics():
    with pytest.raises(ValueError, match="needs running_mean and running_var"):
        switch_norm(torch.randn(2, 3, 4), UNIFORM, UNIFORM, training=False)
    y = switch_norm(
        torch.randn(2, 3, 4), UNIFORM[:2], UNIFORM[:2], normalizers=("in", "ln"), training=False
    )
    assert torch.isfinite(y).all()


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


def test_running_statistics_that_do_not_fit():
    x = torch.randn(2, 4, 3)
    with pytest.raises(ValueError, match=r"running_mean has shape \(1,\), input has 4 channels"):
        switch_norm(x, UNIFORM, UNIFORM, running_mean=torch.zeros(1), running_var=torch.ones(4))
    with pytest.raises(ValueError, match="both running_mean and running_var"):
        switch_norm(x, UNIFORM, UNIFORM, running_mean=torch.zeros(4))
