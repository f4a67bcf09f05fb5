"""Exchanged norms: what is computed before and after, and what each layer keeps."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torchvision import models

import normlib
from normlib.layers import Choice

KINDS = {
    "SN": normlib.SwitchNorm2d,
    "SyncSN": normlib.SyncSwitchNorm2d,
    "SSN": normlib.SparseSwitchNorm2d,
    "SyncSSN": normlib.SyncSparseSwitchNorm2d,
}


def filled(module):
    """Make every parameter and statistic of a module different."""
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.5)
            else:
                tensor.fill_(7)
    return module


def network(norm=nn.BatchNorm2d, **kwargs):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), norm(4, **kwargs), nn.ReLU(), norm(4, **kwargs))
    return filled(model)


def switchable(layer, mean, var):
    """A layer with these ratios."""
    with torch.no_grad():
        for logits, ratios in ((layer.mean_weight, mean), (layer.var_weight, var)):
            logits.copy_(layer._logits_of(torch.tensor(ratios)))
    return layer


class TestFromBatchNorm:
    @pytest.mark.parametrize("to", KINDS)
    def test_with_batch_ratios_the_model_evaluates_as_before(self, to):
        model, x = network().eval(), torch.randn(2, 3, 8, 8)
        expected = model(x)
        assert normlib.convert(model, to, "bn") is model
        assert type(model[1]) is KINDS[to]
        assert model[1].choice == ("bn", "bn")
        torch.testing.assert_close(model(x), expected, rtol=1e-6, atol=1e-6)

    def test_and_trains_as_before(self):
        model, x = network(), torch.randn(2, 3, 8, 8)
        expected = model(x)
        torch.testing.assert_close(normlib.convert(model, "SN", "bn")(x), expected)

    @pytest.mark.parametrize(
        ("ratios", "expected"), [("uniform", [1 / 3] * 3), (0.8, [0.1, 0.1, 0.8])]
    )
    @pytest.mark.parametrize("to", KINDS)
    def test_ratios(self, to, ratios, expected):
        for found in normlib.convert(network(), to, ratios)[1].ratios():
            assert found.tolist() == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("norm", "layer"),
        [
            (nn.BatchNorm1d, normlib.SwitchNorm1d),
            (nn.BatchNorm2d, normlib.SwitchNorm2d),
            (nn.BatchNorm3d, normlib.SwitchNorm3d),
            (nn.SyncBatchNorm, normlib.SwitchNorm),
        ],
    )
    def test_a_model_that_is_a_norm(self, norm, layer):
        old = norm(3, eps=1e-3, momentum=0.2)
        new = normlib.convert(old)
        assert type(new) is layer
        assert (new.num_features, new.eps, new.momentum) == (3, 1e-3, 0.2)

    def test_tensors_stay(self):
        model = network().double().eval()
        model[1].weight.requires_grad_(False)
        model[3].train()
        old = copy.copy(model._modules)
        normlib.convert(model)
        for name in ("1", "3"):
            new = model.get_submodule(name)
            for key in ("weight", "bias", "running_mean", "running_var"):
                assert getattr(new, key) is getattr(old[name], key)
            assert new.training == old[name].training
            assert new.mean_weight.dtype == torch.float64
        assert not model[1].mean_weight.requires_grad
        assert model[3].var_weight.requires_grad

    def test_a_device(self):
        assert normlib.convert(nn.BatchNorm2d(3, device="meta")).mean_weight.is_meta

    def test_without_gamma_and_beta(self):
        model, x = network(affine=False).eval(), torch.randn(2, 3, 8, 8)
        expected = model(x)
        normlib.convert(model, ratios="bn")
        assert model[1].weight is None
        torch.testing.assert_close(model(x), expected, rtol=1e-6, atol=1e-6)

    def test_cumulative_averages_go_on(self):
        model, x = network(momentum=None), torch.randn(2, 3, 8, 8)
        before = model[1].running_mean.clone()
        normlib.convert(model)
        assert model[1].num_batches_tracked == 7
        batch = model[0](x).mean((0, 2, 3))
        model(x)
        torch.testing.assert_close(model[1].running_mean, before + (batch - before) / 8)

    def test_without_running_statistics(self):
        model = normlib.convert(network(track_running_stats=False))
        assert model[1].running_var.tolist() == [1] * 4
        assert model(torch.randn(2, 3, 8, 8)).isfinite().all()

    def test_a_layer_used_twice_remains_one(self):
        norm = nn.BatchNorm2d(3)
        model = normlib.convert(nn.ModuleDict(dict(a=norm, b=nn.Sequential(norm, nn.ReLU()))))
        assert model["a"] is model["b"][0]
        assert isinstance(model["a"], normlib.SwitchNorm)

    def test_arguments_of_the_new_layers(self):
        model = normlib.convert(network(), unbiased=True, eps=1e-2, normalizers=("in", "bn"))
        assert model[1].unbiased
        assert (model[1].eps, model[1].normalizers) == (1e-2, ("in", "bn"))

    def test_resnet(self):
        model, x = filled(models.resnet18(num_classes=3)).eval(), torch.randn(1, 3, 64, 64)
        names = [n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)]
        scale = 20.0**-0.5  # Keeps activations of arbitrary weights finite.
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.weight.mul_(scale)
        expected = model(x)
        normlib.convert(model, "SN", "bn")
        assert [name for name, _ in normlib.switch_norm_layers(model)] == names
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)


class TestBetweenSwitchableNorms:
    MEAN, VAR = [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]

    @pytest.mark.parametrize("source", KINDS)
    @pytest.mark.parametrize("to", KINDS)
    def test_ratios_stay(self, source, to):
        model = network(KINDS[source], unbiased=True)
        switchable(model[1], self.MEAN, self.VAR).var_weight.requires_grad_(False)
        model[3].settle(Choice("ln", None))
        if "SSN" in source:
            normlib.set_radius(model, 0.45)
        ratios = [[r.clone() for r in layer.ratios()] for layer in (model[1], model[3])]
        x = torch.randn(2, 3, 8, 8)
        expected = copy.deepcopy(model)(x)
        normlib.convert(model, to, "bn")
        assert type(model[1]) is KINDS[to]
        assert model[3].choice == ("ln", None)
        assert model[1].mean_weight.requires_grad
        assert not model[1].var_weight.requires_grad
        for layer, wanted in zip((model[1], model[3]), ratios, strict=True):
            torch.testing.assert_close(layer.ratios(), tuple(wanted))
        torch.testing.assert_close(model(x), expected)

    def test_ratios_of_zero(self):
        """Between soft and one-hot: SparsestMax has them, softmax has not."""
        layer = switchable(normlib.SparseSwitchNorm(3), [0.4, 0.0, 0.6], [0.0, 1.0, 0.0])
        layer = normlib.convert(layer, "SN")
        mean, var = layer.ratios()
        torch.testing.assert_close(mean, torch.tensor([0.4, 0.0, 0.6]))
        assert var.tolist() == pytest.approx([0, 1, 0], abs=1e-37)
        assert layer.mean_weight.isfinite().all()

    def test_a_layer_of_the_kind_stays(self):
        layer = normlib.SwitchNorm(3)
        assert normlib.convert(layer, "SN") is layer
        other = normlib.convert(layer, "SN", activation="relu")
        assert other is not layer
        assert (other.activation, other.mean_weight) == ("relu", layer.mean_weight)


class TestToBatchNorm:
    @pytest.mark.parametrize("kind", KINDS)
    def test_settled_layers_evaluate_as_before(self, kind):
        model, x = network(KINDS[kind], eps=1e-3).eval(), torch.randn(2, 3, 8, 8)
        for _, layer in normlib.switch_norm_layers(model):
            layer.settle(Choice("bn", "bn"))
        expected = model(x)
        gamma = model[1].weight
        normlib.convert(model, "BN")
        assert type(model[1]) is nn.BatchNorm2d
        assert model[1].weight is gamma
        assert not model[1].training
        torch.testing.assert_close(model(x), expected, rtol=1e-6, atol=1e-6)

    def test_there_and_back(self):
        model = network(momentum=None)
        expected = {name: value.clone() for name, value in model.state_dict().items()}
        back = normlib.convert(normlib.convert(model, "SyncSSN", "bn"), "BN").state_dict()
        assert back.keys() == expected.keys()
        assert all(torch.equal(back[name], value) for name, value in expected.items())

    def test_sync_bn(self):
        layer = normlib.SwitchNorm1d(3, normalizers=("bn",))
        assert type(normlib.convert(layer, "SyncBN")) is nn.SyncBatchNorm
        assert type(normlib.convert(layer, "BN")) is nn.BatchNorm1d

    def test_soft_layers_when_asked(self):
        model = network(normlib.SwitchNorm)
        with pytest.raises(
            ValueError, match=r"2 layers.* 1 has not settled .*means in 0\.\d+.*; 3"
        ):
            normlib.convert(model, "BN")
        assert isinstance(model[1], normlib.SwitchNorm)
        statistics = model[1].running_var
        assert normlib.convert(model, "BN", approximate=True)[1].running_var is statistics


class TestRefusals:
    """The model stays as it was, whatever layer is the one that cannot."""

    class OwnForward(nn.BatchNorm2d):
        def forward(self, x):
            return x

    def hooked(self):
        layer = nn.BatchNorm2d(3)
        layer.register_forward_hook(lambda *_: None)
        return layer

    def parametrized(self):
        layer = nn.BatchNorm2d(3)
        nn.utils.parametrize.register_parametrization(layer, "weight", nn.Identity())
        return layer

    @pytest.mark.parametrize(
        ("make", "to", "message"),
        [
            (hooked, "SN", "has hooks"),
            (parametrized, "SN", "parametrizations"),
            (lambda _: nn.LazyBatchNorm2d(), "SN", "channels yet"),
            (lambda self: self.OwnForward(3), "SN", "OwnForward with a forward of its own"),
            (lambda _: normlib.SwitchNorm(3, normalizers=("in", "ln")), "BN", "no batch stat"),
            (
                lambda _: normlib.SwitchNorm(3, normalizers=("bn",), activation="relu"),
                "BN",
                "does a relu too",
            ),
        ],
    )
    def test_layers(self, make, to, message):
        first = nn.BatchNorm2d(3) if to == "SN" else normlib.SwitchNorm(3, normalizers=("bn",))
        model = nn.Sequential(first, nn.Sequential(make(self)))
        with pytest.raises(ValueError, match=rf"1 layers cannot be exchanged: 1\.0 .*{message}"):
            normlib.convert(model, to, approximate=True)
        assert model[0] is first

    @pytest.mark.parametrize("kwargs", [dict(normalizers=("in", "bn")), dict(radius=0.5)])
    def test_what_would_change_ratios(self, kwargs):
        with pytest.raises(ValueError, match=r"the model .* its ratios"):
            normlib.convert(normlib.SwitchNorm(3), "SSN", **kwargs)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [(("GN",), "to is 'GN'.*'SyncSSN'"), (("SN", 1.5), "1.5"), (("SN", "in"), "'in'")],
    )
    def test_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            normlib.convert(network(), *arguments)
