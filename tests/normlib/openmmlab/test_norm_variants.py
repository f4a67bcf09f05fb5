"""One network with several norms: which layers it has, and what they compute."""

from __future__ import annotations

import pytest
import torch
from mmcv.cnn import ConvModule
from torch import nn

from normlib import SparseSwitchNorm, SwitchNorm, SyncSwitchNorm, switch_norm_layers
from normlib.layers import Choice
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.norm_variants import EQUALS, VARIANTS, make_variants

IMAGES = torch.linspace(-2, 2, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8).sin()


class Network(nn.Module):
    """Four norms: with a ReLU after it, on another convolution, after a ReLU, on a vector."""

    def __init__(self, norm=SwitchNorm, vector=("ln", "bn"), **arguments):
        super().__init__()
        self.stem = ConvModule(3, 4, 3, norm_cfg=dict(type="SN"))
        self.stem.add_module(self.stem.norm_name, norm(4, **arguments))
        self.conv = nn.Conv2d(4, 4, 3)
        self.norm = norm(4, **arguments)
        self.after = norm(4, **arguments)
        self.fc = nn.Linear(4, 5)
        self.vector = norm(5, **(arguments | dict(normalizers=vector)))

    def forward(self, x):
        x = self.after(self.norm(self.conv(self.stem(x))).relu())
        return self.vector(self.fc(x.mean((2, 3))))


def randomised(network):
    for _, layer in switch_norm_layers(network):
        for tensor in (layer.weight, layer.mean_weight, layer.var_weight):
            nn.init.normal_(tensor)
        if layer.running_mean is not None:
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return network.eval()


@pytest.fixture
def network():
    """A trained network: two layers on batch statistics, one with two statistics, one soft."""
    network = randomised(Network())
    network.stem.norm.settle(Choice("bn", "bn"))
    network.norm.settle(Choice("ln", "in"))
    network.after.settle(Choice("bn", "bn"))
    network.vector.settle(Choice(None, None))
    with torch.no_grad():
        network.vector.mean_weight.copy_(torch.tensor([1.0, 2.0]))
        network.vector.var_weight.copy_(torch.tensor([1.0, 2.0]))
    return network


@torch.no_grad()
def outputs(variants, images=IMAGES):
    return {name: variant.model(images) for name, variant in variants.made.items()}


def assert_close(actual, expected):
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_every_variant_has_the_norms_that_its_name_says(network):
    variants = make_variants(network, IMAGES)
    assert list(variants.left_out) == ["hard-folded-fused"]
    assert variants.learned
    assert {name: variant.norms for name, variant in variants.made.items()} == {
        "BN": {"BN": 4},
        "BN-folded": {"folded": 3, "BN": 1},
        "SN": {"soft": 4},
        "SN-fused": {"soft": 4},
        "SSN": {"soft": 4},
        "hard": {"hard bn": 3, "hard ln/in": 1},
        "hard-folded": {"folded": 2, "hard ln/in": 1, "hard bn": 1},
    }


def test_variants_that_compute_the_same_do(network):
    network.stem.norm.release()
    network.stem.norm.settle(Choice("ln", "ln"))
    results = outputs(make_variants(network, IMAGES))
    assert list(results) == list(VARIANTS)
    for first, second in EQUALS:
        assert_close(results[second], results[first])


@torch.no_grad()
def test_bn_is_batch_norm_with_the_running_statistics(network):
    variants = make_variants(network, IMAGES, ["BN"])
    layers = [network.stem.norm, network.norm, network.after, network.vector]
    expected = network.stem.conv(IMAGES)
    maps = {0: network.conv, 1: nn.Identity(), 2: lambda x: network.fc(x.mean((2, 3)))}
    for k, layer in enumerate(layers):
        statistics = (layer.running_mean, layer.running_var, layer.weight, layer.bias)
        expected = nn.functional.batch_norm(expected, *statistics, eps=layer.eps)
        if k < 2:
            expected = expected.relu()
        expected = maps[k](expected) if k in maps else expected
    assert_close(outputs(variants)["BN"], expected)


def test_soft_variants_are_soft_where_the_network_has_settled(network):
    made = make_variants(network, IMAGES, ["SN", "SSN"]).made
    for name, kind in (("SN", SwitchNorm), ("SSN", SparseSwitchNorm)):
        for _, layer in switch_norm_layers(made[name].model):
            assert type(layer) is kind
            assert all((ratios > 0).all() for ratios in layer.ratios())
    unsettled = randomised(Network())
    with torch.no_grad():
        assert_close(outputs(make_variants(unsettled, IMAGES, ["SN"]))["SN"], unsettled(IMAGES))


@torch.no_grad()
def test_hard_follows_the_largest_ratios(network):
    hard = make_variants(network, IMAGES, ["hard"]).made["hard"].model
    choices = [layer.choice for _, layer in switch_norm_layers(hard)]
    assert choices == [("bn", "bn"), ("ln", "in"), ("bn", "bn"), ("bn", "bn")]


def test_without_learned_ratios_hard_layers_take_statistics_in_turn():
    variants = make_variants(Network(), IMAGES, ["hard"], trained=False)
    assert not variants.learned
    choices = [layer.choice for _, layer in switch_norm_layers(variants.made["hard"].model)]
    assert choices == [("in", "in"), ("ln", "ln"), ("bn", "bn"), ("bn", "bn")]


def test_the_network_stays_as_it_is(network):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    make_variants(network, IMAGES)
    assert before.keys() == network.state_dict().keys()
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert network.vector.choice == (None, None)


def test_why_layers_on_batch_statistics_were_not_folded(network):
    made = make_variants(network, IMAGES, ["BN", "BN-folded", "hard", "hard-folded"]).made
    for name in ("BN-folded", "hard-folded"):
        assert list(made[name].unfolded) == ["after"]
        assert "not always the output of one convolution" in made[name].unfolded["after"]
    assert made["BN"].unfolded == made["hard"].unfolded == {}


def test_layers_without_batch_statistics_have_a_batch_norm_too():
    network = randomised(Network(normalizers=("in", "ln"), vector=("ln",)))
    made = make_variants(network, IMAGES, ["BN", "BN-folded", "hard"], trained=False).made
    assert made["BN"].norms == {"BN": 4}
    assert made["BN-folded"].norms == {"folded": 3, "BN": 1}
    assert made["hard"].norms == {"hard in": 2, "hard ln": 2}


def test_synchronised_layers_and_dropout_need_no_training():
    network = randomised(Network(SyncSwitchNorm, dropout=0.2))
    made = make_variants(network, IMAGES, ["BN", "SN", "hard"]).made
    assert type(made["SN"].model.norm) is SwitchNorm


def test_batch_norms_are_switched_where_there_is_nothing_else():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    variants = make_variants(network, IMAGES)
    assert not variants.learned
    assert variants.made["SN"].norms == {"soft": 1}
    with torch.no_grad():
        assert_close(outputs(variants)["BN"], network(IMAGES))


def test_batch_norms_beside_switchable_norms_stay():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), SwitchNorm(4))
    made = make_variants(network, IMAGES, ["BN", "SN", "SSN"]).made
    assert made["SN"].norms == made["SSN"].norms == {"soft": 1}
    assert made["BN"].norms == {"BN": 1}
    assert all(type(variant.model[1]) is nn.BatchNorm2d for variant in made.values())


def test_clips():
    network = randomised(nn.Sequential(nn.Conv3d(3, 4, 3), SwitchNorm(4)))
    clips = torch.randn(1, 3, 4, 6, 6)
    results = outputs(make_variants(network, clips, ["BN", "BN-folded", "hard"]), clips)
    assert_close(results["BN-folded"], results["BN"])


def test_what_cannot_be_fused_is_left_out():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), SwitchNorm(4)).eval()
    variants = make_variants(network, IMAGES, ["SN", "SN-fused"])
    assert list(variants.made) == ["SN"]
    assert "no norm of this network" in variants.left_out["SN-fused"]


@pytest.mark.parametrize(
    ("network", "names", "message"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), SwitchNorm(4)), ["SN", "XN"], "unknown variant 'XN'"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)), ["SN"], "no switchable norm, and"),
        (nn.Sequential(SwitchNorm(3, activation="relu")), ["BN"], r"variant BN .*does a relu too"),
    ],
)
def test_mistakes(network, names, message):
    with pytest.raises(ConfigError, match=message):
        make_variants(network, IMAGES, names)
