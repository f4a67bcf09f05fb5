from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest
import torch
import torchvision
from torch import Tensor, nn

import normlib
from normlib import SparseSwitchNorm2d, SwitchNorm, SwitchNorm2d, SyncSwitchNorm
from normlib.checkpoint.fold import fold
from normlib.layers import Choice

BATCH = Choice("bn", "bn")


def settled(channels, choice=BATCH, cls=SwitchNorm, **kwargs):
    """A layer with random parameters and running statistics that has made its choice."""
    layer = cls(channels, **kwargs)
    for tensor in (layer.weight, layer.bias, layer.running_mean):
        if tensor is not None:
            nn.init.normal_(tensor)
    nn.init.uniform_(layer.running_var, 0.5, 2)
    layer.settle(choice)
    return layer


def outputs(model, *inputs):
    with torch.no_grad():
        return model.eval()(*inputs)


def assert_same(model, folded, *inputs, tolerance=1e-5):
    expected, actual = outputs(model, *inputs), outputs(folded, *inputs)
    assert (actual - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize(
    ("name", "norm"),
    [("resnet18", SwitchNorm2d), ("resnet50", SparseSwitchNorm2d), ("mobilenet_v2", SwitchNorm2d)],
)
def test_a_settled_network_loses_all_its_norms(name, norm):
    model = getattr(torchvision.models, name)(norm_layer=norm)
    model(torch.randn(4, 3, 48, 48))
    for _, layer in normlib.switch_norm_layers(model):
        for logits in (layer.mean_weight, layer.var_weight):
            nn.init.constant_(logits[-1], 3)
    normlib.harden(model)
    layers = dict(normlib.switch_norm_layers(model))

    folded, convolutions, kept = fold(model, torch.randn(1, 3, 48, 48))
    assert list(convolutions) == list(layers)
    assert not kept
    assert not any(normlib.switch_norm_layers(folded))
    assert_same(model, folded, torch.randn(1, 3, 64, 64))


class Wide(nn.Conv2d):
    """Computes as its base; what it takes to make one differs."""

    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, out_channels, (1, 3), padding=(0, 1), bias=False)


CONVOLUTIONS = {
    "class of its own": (Wide(4, 6), (2, 4, 5, 6)),
    "1d": (nn.Conv1d(4, 6, 3), (2, 4, 9)),
    "2d": (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect", bias=False), (2, 4, 9, 8)),
    "3d": (nn.Conv3d(4, 6, 2), (2, 4, 3, 4, 5)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), (2, 4, 9, 8)),
    "depthwise": (nn.Conv2d(6, 6, 3, groups=6), (2, 6, 9, 8)),
    "transposed 1d": (nn.ConvTranspose1d(4, 6, 3, stride=2), (2, 4, 5)),
    "transposed 2d": (nn.ConvTranspose2d(4, 6, 3, bias=False), (2, 4, 5, 3)),
    "transposed grouped": (nn.ConvTranspose2d(4, 6, 3, groups=2), (2, 4, 5, 3)),
    "transposed 3d": (nn.ConvTranspose3d(4, 6, 2), (2, 4, 3, 2, 3)),
    "linear": (nn.Linear(4, 6), (5, 4)),
}


@pytest.mark.parametrize("kwargs", [{}, {"affine": False, "eps": 0.1}, {"activation": "relu"}])
@pytest.mark.parametrize(("conv", "shape"), CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_every_kind_of_convolution(conv, shape, kwargs):
    model = nn.Sequential(conv, settled(6, **kwargs)).double()
    x = torch.randn(shape, dtype=torch.float64)
    folded = fold(model, x).model
    assert type(folded[1]) is (nn.ReLU if kwargs.get("activation") else nn.Identity)
    assert_same(model, folded, x + 1, tolerance=1e-13)


def test_weights_are_rounded_once():
    model = nn.Sequential(nn.Conv2d(8, 8, 3), settled(8))
    folded = fold(model, torch.randn(1, 8, 3, 3)).model
    exact = fold(copy.deepcopy(model).double(), torch.randn(1, 8, 3, 3).double()).model
    for name, value in folded.state_dict().items():
        assert torch.equal(value, exact.state_dict()[name].float())


@pytest.mark.parametrize(
    "layer",
    [
        SwitchNorm(6),
        settled(6, Choice("in", "in")),
        settled(6, Choice("ln", "ln")),
        settled(6, Choice("bn", "in")),
        settled(6, Choice(None, "bn")),
    ],
    ids=["soft", "in", "ln", "bn and in", "half settled"],
)
def test_layers_that_use_other_statistics_stay_as_they_are(layer):
    model = nn.Sequential(nn.Conv2d(4, 6, 3), layer, nn.Conv2d(6, 5, 3), settled(5))
    x = torch.randn(2, 4, 9, 9)
    folded, convolutions, kept = fold(model, x)
    assert convolutions == {"3": "2"}
    assert "batch statistics" in kept["1"]
    for name, value in model[:2].state_dict().items():
        assert torch.equal(folded[:2].state_dict()[name], value)
    assert_same(model, folded, x)


def test_a_layer_made_for_batch_statistics_alone_is_folded():
    layers = [SwitchNorm(6, normalizers=("bn",)), SyncSwitchNorm(6, normalizers=("bn",))]
    for layer in layers:
        model = nn.Sequential(nn.Conv2d(4, 6, 3), layer)
        assert list(fold(model, torch.randn(2, 4, 9, 9)).convolutions) == ["1"]


class Pair(nn.Module):
    """A convolution and a norm, wired by a function."""

    def __init__(self, wiring, conv=None, norm=None):
        super().__init__()
        self.conv = conv or nn.Conv2d(4, 4, 3, padding=1)
        self.norm = norm or settled(4)
        self.other = settled(4)
        self.wiring = wiring

    def forward(self, x):
        return self.wiring(self, x)


def inplace(m, x):
    return m.norm(m.conv(x).mul_(2))


def view_elsewhere(m, x):
    y = m.conv(x)
    return m.norm(y), y[0].sum()


def returned(m, x):
    y = m.conv(x)
    return {"y": y, "z": m.norm(y)}


def conv_elsewhere(m, x):
    return m.norm(m.conv(x)) + m.conv(x + 1)


def convolved_again(m, x):
    y = m.conv(x)
    return m.norm(y) + m.conv(y)


WIRINGS = {
    "changed in place": inplace,
    "a view is read": view_elsewhere,
    "returned": returned,
    "the convolution also serves elsewhere": conv_elsewhere,
    "read by a convolution": convolved_again,
    "read by another norm": lambda m, x: m.norm(y := m.conv(x)) + m.other(y),
    "the norm also serves elsewhere": lambda m, x: m.norm(m.conv(x)) + m.norm(x),
    "a residual": lambda m, x: m.norm(m.conv(x), x),
    "a residual at times": lambda m, x: m.norm(m.norm(m.conv(x)), residual=m.conv(x)),
    "a residual of another norm": lambda m, x: m.norm(y := m.conv(x)) + m.other(x, residual=y),
    "not reached": lambda m, x: m.conv(x),
}


@pytest.mark.parametrize("wiring", WIRINGS.values(), ids=WIRINGS)
def test_what_is_wired_otherwise_is_left_alone(wiring):
    model = Pair(wiring)
    folded, convolutions, kept = fold(model, torch.randn(2, 4, 9, 9))
    assert convolutions == {}
    assert set(kept) == {"norm", "other"}
    for name, value in model.state_dict().items():
        assert torch.equal(folded.state_dict()[name], value)


def test_a_pair_that_is_shared_and_used_several_times_is_folded():
    model = Pair(lambda m, x: m.norm(m.conv(x)) + m.twin(m.conv(x + 1)))
    model.twin = model.norm
    x = torch.randn(2, 4, 9, 9)
    folded, convolutions, _ = fold(model, x)
    assert convolutions == {"norm": "conv"}
    assert type(folded.norm) is type(folded.twin) is nn.Identity
    assert_same(model, folded, x)


def test_what_does_nothing_may_stand_between():
    model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Dropout(), nn.Identity(), settled(6))
    assert fold(model, torch.randn(2, 4, 9, 9)).convolutions == {"3": "0"}


def test_tied_weights_are_folded_for_each_norm():
    model = nn.Sequential(nn.Conv2d(4, 4, 3), settled(4), nn.Conv2d(4, 4, 3), settled(4))
    model[2].weight = model[0].weight
    x = torch.randn(2, 4, 9, 9)
    assert_same(model, fold(model, x).model, x)


class Doubling(nn.Conv2d):
    def forward(self, x):
        return super().forward(2 * x)


@pytest.mark.parametrize(
    "conv",
    [
        Doubling(4, 4, 3),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3)),
        nn.utils.spectral_norm(nn.Conv2d(4, 4, 3)),
    ],
    ids=["subclass", "parametrized", "computed weight"],
)
def test_other_convolutions_are_left_alone(conv):
    model = nn.Sequential(conv, settled(4))
    folded, convolutions, kept = fold(model, torch.randn(2, 4, 9, 9))
    assert convolutions == {}
    assert "one convolution" in kept["1"]
    assert isinstance(folded[1], SwitchNorm)


@pytest.mark.parametrize(("hooked", "reason"), [(0, "one convolution"), (1, "has forward hooks")])
def test_modules_with_hooks_are_left_alone(hooked, reason):
    model = nn.Sequential(nn.Conv2d(4, 4, 3), settled(4))
    model[hooked].register_forward_hook(lambda module, args, output: None)
    _, convolutions, kept = fold(model, torch.randn(2, 4, 9, 9))
    assert convolutions == {}
    assert reason in kept["1"]


def test_channels_in_another_dimension_are_not_mistaken():
    model = nn.Sequential(nn.Linear(4, 6), settled(6))  # (N, 6, 6): the norm's are the rows
    x = torch.randn(2, 6, 4)
    folded, convolutions, _ = fold(model, x)
    assert convolutions == {}
    assert_same(model, folded, x)


@dataclass(slots=True)
class Scores:
    name: str
    parts: list[tuple[Tensor, ...]]


class Nested(nn.Module):
    """Returns its output as a part of nested containers; random on demand."""

    def __init__(self, wrap):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(4, 6, 3), settled(6))
        self.wrap = wrap

    def forward(self, x):
        return self.wrap(self.body(x))


class Sample:
    def __init__(self, tensor):
        self.tensor = tensor
        self.me = self


WRAPS = [
    lambda y: (y,),
    lambda y: [{"a": (y, None)}],
    lambda y: Scores("x", [(y,)]),
    lambda y: [Sample(y)],
]


@pytest.mark.parametrize("wrap", WRAPS, ids=["tuple", "dict", "dataclass", "object"])
def test_outputs_may_be_nested(wrap):
    x = torch.randn(2, 4, 9, 9)
    assert fold(Nested(wrap), x).convolutions == {"body.1": "body.0"}
    with pytest.raises(ValueError, match="output 0 differs"):
        fold(Nested(lambda y: wrap(y + torch.rand(()))), x)


def test_outputs_in_memory_that_is_used_again_are_compared_too():
    memory = torch.empty(2, 6, 7, 7)
    with pytest.raises(ValueError, match="output 0 differs"):
        fold(Nested(lambda y: memory.copy_(y + torch.rand(()))), torch.randn(2, 4, 9, 9))


def test_a_model_that_cannot_be_compared_is_refused():
    x = torch.randn(2, 4, 9, 9)
    with pytest.raises(ValueError, match="no tensor to compare"):
        fold(Nested(lambda y: float(y.sum())), x)
    counts = iter([1, 2])
    with pytest.raises(ValueError, match=r"shapes \[\(1,\)\], and \[\(2,\)\] when folded"):
        fold(Nested(lambda y: y.flatten()[: next(counts)]), x)


def test_a_weight_that_is_used_outside_its_convolution_is_found_out():
    model = Pair(lambda m, x: m.norm(m.conv(x)) + m.conv.weight.sum())
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"differs by .* tolerance of 1e-05 times"):
        fold(model, torch.randn(2, 4, 9, 9))
    assert isinstance(model.norm, SwitchNorm)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_tolerance_decides():
    x = torch.randn(2, 4, 9, 9)
    noisy = Nested(lambda y: y + 1e-3 * torch.rand_like(y))
    with pytest.raises(ValueError, match="output 0 differs"):
        fold(noisy, x)
    assert fold(noisy, x, tolerance=0.1).convolutions


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    layers = [(nn.Conv2d(8, 8, 3, padding=1), settled(8)) for _ in range(4)]
    model = nn.Sequential(*[layer for pair in layers for layer in pair]).to(dtype)
    x = torch.randn(2, 8, 9, 9, dtype=dtype)
    folded = fold(model, x).model
    assert {p.dtype for p in folded.parameters()} == {dtype}
    assert_same(model, folded, x, tolerance=10 * torch.finfo(dtype).eps)


def test_the_model_is_not_changed_and_may_be_in_training_mode():
    model = nn.Sequential(nn.Conv2d(4, 6, 3), settled(6), nn.ReLU(inplace=True)).train()
    before = copy.deepcopy(model.state_dict())
    x = torch.randn(2, 4, 9, 9)
    folded = fold(model, x).model
    assert all(module.training for module in model.modules())
    assert not any(module.training for module in folded.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert not model[0]._forward_hooks
    assert not folded[0]._forward_hooks


def test_a_model_whose_train_returns_nothing():
    class Quiet(nn.Sequential):
        def train(self, mode=True):
            super().train(mode)

    model = Quiet(nn.Conv2d(4, 6, 3), settled(6))
    folded, convolutions, _ = fold(model, torch.randn(2, 4, 9, 9))
    assert convolutions == {"1": "0"}
    assert not folded.training


def test_inputs_that_the_model_changes_are_not_changed():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 6, 3), settled(6))
    x = torch.randn(2, 4, 9, 9)
    before = x.clone()
    assert fold(model, x).convolutions
    assert torch.equal(x, before)


def test_frozen_weights_stay_frozen_and_the_state_dict_is_that_of_the_convolution(tmp_path):
    model = nn.Sequential(nn.Conv2d(4, 6, 3, bias=False), settled(6)).requires_grad_(False)
    x = torch.randn(2, 4, 9, 9)
    folded = fold(model, x).model
    assert not any(p.requires_grad for p in folded.parameters())
    torch.save(folded.state_dict(), tmp_path / "folded.pth")
    plain = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Identity())
    plain.load_state_dict(torch.load(tmp_path / "folded.pth"))
    assert_same(model, plain, x)
