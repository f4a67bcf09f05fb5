"""A model with switchable norms that starts from weights trained with batch norm."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
import torchvision
from mmengine.registry import MODELS
from torch import nn

import normlib
import normlib.openmmlab
from normlib.checkpoint.batch_norm import start_ratios, to_switch_norm

LAYERS = [
    normlib.SwitchNorm,
    normlib.SyncSwitchNorm,
    normlib.SparseSwitchNorm,
    normlib.SyncSparseSwitchNorm,
]


class Block(nn.Module):
    def __init__(self, norm, names):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 3, 3, padding=1)
        self.add_module(names[0], norm(3))
        self.conv2 = nn.Conv2d(3, 6, 3, padding=1)
        self.add_module(names[1], norm(6))
        self.downsample = nn.Sequential(nn.Conv2d(3, 6, 1), norm(6))
        self.names = names

    def forward(self, x):
        y = self.get_submodule(self.names[0])(self.conv1(x)).relu()
        y = self.get_submodule(self.names[1])(self.conv2(y))
        return (y + self.downsample(x)).relu()


def net(norm, *names):
    return nn.Sequential(OrderedDict(block=Block(norm, names), fc=nn.Conv2d(6, 2, 1)))


def trained(*names):
    """A BN model that has seen data."""
    model = net(nn.BatchNorm2d, *names).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    for _ in range(3):
        model(torch.randn(4, 3, 8, 8, dtype=torch.float64) * 2 + 1)
    return model.eval()


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (("bn1", "bn2"), ("sn1", "sn2")),
        (("bn_in", "bn_out"), ("sn_in", "sn_out")),
        (("norm1", "norm2"), ("norm1", "norm2")),
        (("first", "second"), ("sn1", "sn2")),  # by the order alone
    ],
)
def test_on_bn_the_outputs_are_those_of_the_bn_model(layer, theirs, ours):
    source = trained(*theirs)
    model = net(layer, *ours).double().eval()
    state, pairs = to_switch_norm(source.state_dict(), model, "bn")
    assert pairs == {
        f"block.{ours[0]}": f"block.{theirs[0]}",
        f"block.{ours[1]}": f"block.{theirs[1]}",
        "block.downsample.1": "block.downsample.1",
    }
    model.load_state_dict(state)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(model(x), source(x), rtol=1e-10, atol=1e-10)
    assert all(layer.choice == ("bn", "bn") for _, layer in normlib.switch_norm_layers(model))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("ratios", "wanted"), [("uniform", [1 / 3] * 3), (0.75, [0.125, 0.125, 0.75])]
)
def test_soft_ratios(layer, ratios, wanted):
    model = net(layer, "sn1", "sn2")
    source = trained("bn1", "bn2").float().state_dict()
    model.load_state_dict(to_switch_norm(source, model, ratios).state)
    for _, norm in normlib.switch_norm_layers(model):
        for got in norm.ratios():
            torch.testing.assert_close(got, torch.tensor(wanted))
    got = model.state_dict()
    for name in ("weight", "bias", "running_mean", "running_var"):
        assert torch.equal(got[f"block.sn2.{name}"], source[f"block.bn2.{name}"])


@pytest.mark.parametrize("norm", ["SyncSN", "SSN"])
def test_torchvisions_resnet(norm):
    source = torchvision.models.resnet18()
    for key, value in source.state_dict().items():
        if "running" in key:
            value.uniform_(0.5, 1)
    cfg = dict(type="ResNet", depth=18, norm_cfg=dict(type=norm), norm_eval=False)
    with MODELS.switch_scope_and_registry("mmdet") as registry:
        model = registry.build(cfg)
    state, pairs = to_switch_norm(source.state_dict(), model, "bn")
    assert len(pairs) == 20
    assert model.load_state_dict(state, strict=False).missing_keys == []
    del source.fc
    source.eval()
    model.eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        y = source.maxpool(source.bn1(source.conv1(x)).relu())
        for stage in (source.layer1, source.layer2, source.layer3, source.layer4):
            y = stage(y)
        torch.testing.assert_close(model(x)[-1], y, rtol=1e-3, atol=1e-4)


def test_neither_model_nor_weights_are_changed():
    model = net(normlib.SwitchNorm, "sn1", "sn2")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    source = trained("bn1", "bn2").state_dict()
    keys = list(source)
    to_switch_norm(source, model, "bn")
    assert list(source) == keys
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(any(layer.choice) for _, layer in normlib.switch_norm_layers(model))


def test_what_has_control_parameters_or_is_a_batch_norm_stays():
    model = nn.ModuleDict(dict(bn1=nn.BatchNorm2d(3), sn1=normlib.SwitchNorm(3)))
    state = model.state_dict()
    got, pairs = to_switch_norm(state, model, "bn")
    assert pairs == {}
    assert list(got) == list(state)
    del state["sn1.mean_weight"]
    # The only batch norm of the file is the model's own.
    assert to_switch_norm({k: v for k, v in state.items() if "sn" not in k}, model).layers == {}


def test_other_channels_are_not_paired_by_order():
    model = nn.ModuleDict(dict(sn1=normlib.SwitchNorm(3), sn2=normlib.SwitchNorm(6)))
    state = nn.ModuleDict(dict(a=nn.BatchNorm2d(6), b=nn.BatchNorm2d(3))).state_dict()
    assert to_switch_norm(state, model).layers == {}


def test_layers_without_batch_statistics():
    model = nn.ModuleDict(dict(sn1=normlib.SwitchNorm(3, normalizers=("in", "ln"))))
    state = nn.ModuleDict(dict(bn1=nn.BatchNorm2d(3))).state_dict()
    assert set(to_switch_norm(state, model).state) == set(model.state_dict())
    with pytest.raises(ValueError, match=r"layer sn1: .*'bn'.*\('in', 'ln'\).*'uniform'"):
        to_switch_norm(state, model, "bn")


def test_a_cumulative_average_goes_on_from_the_count_of_the_file():
    model = nn.ModuleDict(dict(sn1=normlib.SwitchNorm(3, momentum=None)))
    state = nn.ModuleDict(dict(bn1=nn.BatchNorm2d(3))).state_dict()
    state["bn1.num_batches_tracked"] = torch.tensor(7)
    model.load_state_dict(to_switch_norm(state, model).state)
    assert model["sn1"].num_batches_tracked == 7


class TestStartRatios:
    def test_a_settled_layer_starts_anew(self):
        layer = normlib.SparseSwitchNorm(3, radius=1.0)
        layer.harden()
        start_ratios(layer, "uniform")
        assert layer.choice == (None, None)
        assert float(layer.radius) == 0
        torch.testing.assert_close(layer.ratios()[0], torch.full((3,), 1 / 3))

    def test_batch_statistics_alone(self):
        layer = normlib.SwitchNorm(3, normalizers=("bn",))
        for ratios in ("uniform", "bn", 0.5):
            start_ratios(layer, ratios)
            assert layer.ratios()[0].tolist() == [1]

    @pytest.mark.parametrize("ratios", ["in", "", 0, 1, 1.5, -0.1, True, None, float("nan")])
    def test_what_it_does_not_take(self, ratios):
        with pytest.raises(ValueError, match=r"'uniform', 'bn'.*number between 0 and 1"):
            start_ratios(normlib.SwitchNorm(3), ratios)
