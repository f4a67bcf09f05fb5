from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from normlib.functional import switch_norm

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


def test_running_statistics_that_do_not_fit():
    x = torch.randn(2, 4, 3)
    with pytest.raises(ValueError, match=r"running_mean has shape \(1,\), input has 4 channels"):
        switch_norm(x, UNIFORM, UNIFORM, running_mean=torch.zeros(1), running_var=torch.ones(4))
    with pytest.raises(ValueError, match="both running_mean and running_var"):
        switch_norm(x, UNIFORM, UNIFORM, running_mean=torch.zeros(4))
