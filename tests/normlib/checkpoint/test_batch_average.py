"""Averages against an independent computation in float64, and what they must leave alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import normlib
from normlib.checkpoint.batch_average import BatchAverage, swap_statistics
from normlib.layers import Choice

NORMS = {
    "SN": normlib.SwitchNorm,
    "SyncSN": normlib.SyncSwitchNorm,
    "SSN": normlib.SparseSwitchNorm,
    "SyncSSN": normlib.SyncSparseSwitchNorm,
    "BN": nn.BatchNorm2d,
}


def model_of(norm, dtype=torch.float64, **kwargs):
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 4, 3), NORMS[norm](4, **kwargs), nn.Conv2d(4, 2, 1), NORMS[norm](2)]
    return nn.Sequential(*layers).to(dtype)


def batches_of(*sizes, seed=0, offset=0.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 3, 6, 6, generator=generator, dtype=dtype) + offset for n in sizes]


def averaged(model, batches):
    average = BatchAverage(model)
    with average.collecting():
        for batch in batches:
            model(batch)
    return average.statistics()


def expected(model, batches, unbiased):
    """Statistics of the first norm by the definition: E[v + m^2] - E[m]^2."""
    means, variances = [], []
    for batch in batches:
        x = model[0](batch).double().transpose(0, 1).flatten(1)
        means.append(x.mean(1))
        variances.append(x.var(1, correction=int(unbiased)))
    means, variances = torch.stack(means), torch.stack(variances)
    mean = means.mean(0)
    return mean, (variances + means.square()).mean(0) - mean.square()


def state_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(actual, expected):
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(actual[name], tensor), name


class TestValues:
    @pytest.mark.parametrize("norm", NORMS)
    @pytest.mark.parametrize("momentum", [0.1, None])
    def test_are_those_of_the_definition(self, norm, momentum):
        model, batches = model_of(norm, momentum=momentum), batches_of(4, 2, 7)
        statistics = averaged(model, batches)
        mean, var = expected(model, batches, unbiased=norm == "BN")
        torch.testing.assert_close(statistics["1.running_mean"], mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(statistics["1.running_var"], var, rtol=1e-12, atol=1e-12)
        assert list(statistics) == [f"{i}.running_{s}" for i in (1, 3) for s in ("mean", "var")]

    @pytest.mark.parametrize("norm", ["SN", "BN"])
    def test_digits_survive_a_mean_far_from_zero(self, norm):
        model = model_of(norm, torch.float32)
        model[0] = nn.Identity()
        model[1] = NORMS[norm](3)
        batches = batches_of(4, 4, 4, offset=1e3, dtype=torch.float32)
        statistics = averaged(model[:2], batches)
        _, var = expected(model, [b.double() for b in batches], unbiased=norm == "BN")
        torch.testing.assert_close(statistics["1.running_var"].double(), var, rtol=1e-5, atol=0)

    def test_an_unbiased_layer_keeps_its_variance(self):
        model, (batch,) = model_of("SN", unbiased=True, momentum=1.0), batches_of(4)
        statistics = averaged(model, [batch])
        model.train()(batch)
        torch.testing.assert_close(statistics["1.running_var"], model[1].running_var)

    def test_dropout_of_the_norms_is_off_and_comes_back(self):
        model, plain = model_of("SN", dropout=0.5), model_of("SN")
        batches = batches_of(4, 4)
        assert_same(averaged(model, batches), averaged(plain, batches))
        assert model[1].dropout == 0.5

    def test_a_layer_called_twice_counts_twice(self):
        class Shared(nn.Module):
            def __init__(self):
                super().__init__()
                self.norm = normlib.SwitchNorm(3).double()
                self.unused = normlib.SwitchNorm(3)

            def forward(self, x):
                return self.norm(x[:2]).sum() + self.norm(x[2:]).sum()

        batches = batches_of(5, 6)
        statistics = averaged(Shared(), batches)
        parts = [part for b in batches for part in (b[:2], b[2:])]
        mean, var = expected([nn.Identity()], parts, unbiased=False)
        torch.testing.assert_close(statistics["norm.running_mean"], mean)
        torch.testing.assert_close(statistics["norm.running_var"], var)
        assert "unused.running_mean" not in statistics

    @pytest.mark.parametrize("norm", NORMS)
    def test_batches_without_elements_do_not_count(self, norm):
        model = model_of(norm)
        with_empty = averaged(model, batches_of(3, 0, 2))
        assert_same(with_empty, averaged(model, [b for b in batches_of(3, 0, 2) if len(b)]))

    def test_more_batches_can_follow(self):
        model, batches = model_of("SN"), batches_of(2, 3, 4)
        average = BatchAverage(model)
        for batch in batches:
            with average.collecting():
                model(batch)
        assert_same(average.statistics(), averaged(model, batches))

    def test_a_model_that_is_a_norm(self):
        assert list(averaged(nn.BatchNorm2d(3).double(), batches_of(2))) == [
            "running_mean",
            "running_var",
        ]

    def test_half_precision(self):
        model, batches = model_of("SN", torch.bfloat16), batches_of(4, 4, dtype=torch.bfloat16)
        statistics = averaged(model, batches)
        mean, _ = expected(model, batches, unbiased=False)
        assert statistics["1.running_mean"].dtype == torch.bfloat16
        torch.testing.assert_close(statistics["1.running_mean"], mean.bfloat16())


class TestWhatIsLeftAlone:
    @pytest.mark.parametrize("norm", ["SN", "BN"])
    def test_the_model(self, norm):
        model = nn.utils.spectral_norm(nn.Linear(2, 2)).double()  # A buffer that training changes.
        model = nn.Sequential(model_of(norm, momentum=None), nn.Flatten(), nn.LazyLinear(2), model)
        model.double()(*batches_of(2)).sum().backward()
        model.eval()
        model[0][1].train()
        before, modes = state_of(model), [m.training for m in model.modules()]
        buffers = [id(b) for b in model.buffers()]
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        averaged(model, batches_of(3, 3))
        assert_same(state_of(model), before)
        assert modes == [m.training for m in model.modules()]
        assert buffers == [id(b) for b in model.buffers()]
        after = [p.grad for p in model.parameters() if p.grad is not None]
        assert all(map(torch.equal, gradients, after))
        assert model[0][1].momentum is None
        assert not model[0][1]._forward_hooks

    def test_the_model_when_a_batch_fails(self):
        model = model_of("SN")
        before = state_of(model)
        with pytest.raises(ValueError, match="channels"):
            averaged(nn.Sequential(model[1]), batches_of(2))
        assert_same(state_of(model), before)

    @pytest.mark.parametrize("norm", ["SN", "BN"])
    def test_frozen_layers(self, norm):
        class Frozen(nn.Sequential):
            def train(self, mode=True):
                super().train(mode)
                self[1].eval()
                return self

        model = Frozen(*model_of(norm))
        statistics = averaged(model, batches_of(3, 3))
        assert list(statistics) == ["3.running_mean", "3.running_var"]
        model[3].eval()
        assert list(averaged(model, batches_of(3))) == list(statistics)

    def test_layers_that_have_settled_without_the_batch(self):
        model = model_of("SN")
        model[1].settle(Choice("in", "ln"))
        assert list(averaged(model, batches_of(3))) == ["3.running_mean", "3.running_var"]

    def test_dropout_is_off(self):
        class DropPath(nn.Module):
            def forward(self, x):
                return x * 0 if self.training else x

        plain = model_of("SN")
        dropping = nn.Sequential(nn.Dropout2d(0.5), DropPath(), plain)
        statistics = averaged(dropping, batches_of(3, 3))
        assert_same(
            {name.removeprefix("2."): value for name, value in statistics.items()},
            averaged(plain, batches_of(3, 3)),
        )

    @pytest.mark.parametrize(
        "layer", [nn.GroupNorm(3, 3), normlib.SwitchNorm(3, normalizers=("in", "ln"))]
    )
    def test_nothing_to_average(self, layer):
        with pytest.raises(ValueError, match=r"Sequential has no norm .*: 0 norms"):
            BatchAverage(nn.Sequential(layer))


def test_swapping_twice_puts_everything_back():
    model = model_of("BN")
    before = state_of(model)
    statistics = averaged(model, batches_of(3, 3))
    momentum = swap_statistics(model, statistics)
    assert torch.equal(model[1].running_mean, statistics["1.running_mean"])
    assert torch.equal(momentum["1.running_mean"], before["1.running_mean"])
    assert_same(swap_statistics(model, momentum), statistics)
    assert_same(state_of(model), before)


def test_evaluation_improves():
    """With averages a model evaluates closer to what it does in training."""
    model, batches = model_of("BN"), batches_of(8, 8, 8, offset=2.0)
    target = torch.cat([model(batch) for batch in batches])
    stale = (model.eval()(torch.cat(batches)) - target).square().mean()
    swap_statistics(model, averaged(model, batches))
    assert (model.eval()(torch.cat(batches)) - target).square().mean() < 0.1 * stale


def statistics_on_rank(rank, norm, sizes):
    model = model_of(norm)
    return averaged(model, batches_of(*sizes[rank], seed=rank))


class TestRanks:
    @pytest.mark.parametrize("norm", ["SN", "BN"])
    def test_are_averaged_together(self, rank_pool, norm):
        sizes = [(3, 4, 2), (5,)]
        first, second = rank_pool(2).run(statistics_on_rank, norm, sizes)
        assert_same(second, first)
        batches = [b for rank, s in enumerate(sizes) for b in batches_of(*s, seed=rank)]
        for name, value in averaged(model_of(norm), batches).items():
            torch.testing.assert_close(first[name], value, rtol=1e-12, atol=1e-14)

    def test_a_rank_without_batches(self, rank_pool):
        first, second = rank_pool(2).run(statistics_on_rank, "SN", [(3, 4), ()])
        assert_same(second, first)
        for name, value in averaged(model_of("SN"), batches_of(3, 4)).items():
            torch.testing.assert_close(first[name], value, rtol=1e-12, atol=1e-14)

    def test_synchronised_layers_average_batches_of_the_group(self, rank_pool):
        sizes = [(3, 2), (2, 4)]
        first, second = rank_pool(2).run(statistics_on_rank, "SyncSN", sizes)
        assert_same(second, first)
        ranks = [batches_of(*s, seed=rank) for rank, s in enumerate(sizes)]
        whole = [torch.cat(parts) for parts in zip(*ranks, strict=True)]
        for name, value in averaged(copy.deepcopy(model_of("SN")), whole).items():
            torch.testing.assert_close(first[name], value, rtol=1e-12, atol=1e-14)
