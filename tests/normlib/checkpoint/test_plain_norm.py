from __future__ import annotations

import pytest
import torch
from torch import nn

import normlib
from normlib import SparseSwitchNorm, SwitchNorm, SwitchNorm2d, SyncSwitchNorm
from normlib.checkpoint.plain_norm import PlainSwitchNorm, replace_norms
from normlib.layers import Choice
from normlib.ops.settings import NORMALIZERS

SOFT = Choice(None, None)
CHOICES = [Choice(mean, var) for mean in (None, *NORMALIZERS) for var in (None, *NORMALIZERS)]
SHAPES = [(2, 6, 9, 7), (1, 6, 1, 1), (3, 6, 5), (2, 6, 2, 3, 4), (5, 6)]


def trained(cls=SwitchNorm, choice=SOFT, channels=6, **kwargs):
    """A layer with random parameters and running statistics, in evaluation."""
    layer = cls(channels, **kwargs)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    if layer.running_mean is not None:
        nn.init.normal_(layer.running_mean)
        nn.init.uniform_(layer.running_var, 0.5, 2)
    layer.settle(choice)
    return layer.eval()


def assert_same(actual, expected, tolerance=1e-5):
    assert actual.shape == expected.shape
    assert (actual.double() - expected.double()).abs().max() <= tolerance * expected.abs().max()


def reference(layer, *inputs):
    """The layer by its formulas, in float64."""
    with torch.no_grad(), normlib.use_backend("reference"):
        return layer.double()(*[x.double() for x in inputs])


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_every_choice_in_every_shape(choice):
    for shape in SHAPES:
        layer = trained(choice=choice)
        if len(shape) == 2 and choice == ("in", "in"):
            continue
        x = torch.randn(shape)
        assert_same(PlainSwitchNorm(layer)(x), reference(layer, x))


FEWER = [("in", "ln"), ("in", "bn"), ("ln", "bn"), ("in",), ("ln",), ("bn",)]


@pytest.mark.parametrize("normalizers", FEWER, ids=str)
def test_fewer_normalizers(normalizers):
    layer = trained(normalizers=normalizers)
    x = torch.randn(2, 6, 4, 5)
    assert_same(PlainSwitchNorm(layer)(x), reference(layer, x))


@pytest.mark.parametrize(
    "kwargs",
    [
        dict(unbiased=True),
        dict(affine=False, eps=0.1),
        dict(activation="relu"),
        dict(cls=SyncSwitchNorm),
        dict(cls=SparseSwitchNorm, radius=0.3),
        dict(cls=SparseSwitchNorm, radius=1.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_kind_of_layer(kwargs, shape):
    layer = trained(**kwargs)
    x, residual = torch.randn(shape), torch.randn(shape)
    plain = PlainSwitchNorm(layer)
    assert_same(plain(x), reference(layer, x))
    assert_same(plain(x, residual), reference(layer, x, residual))


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_a_mean_of_100_standard_deviations(choice):
    layer = trained(choice=choice)
    with torch.no_grad():
        layer.running_mean += 100
    x = torch.randn(2, 6, 64, 64) + 100
    assert_same(PlainSwitchNorm(layer)(x), reference(layer, x), tolerance=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_output_has_the_dtype_of_the_input(dtype):
    layer = trained().to(torch.promote_types(dtype, torch.float32))
    x = torch.randn(2, 6, 4, 5, dtype=dtype)
    y = PlainSwitchNorm(layer)(x)
    assert y.dtype == dtype
    assert_same(y, reference(layer, x), tolerance=torch.finfo(dtype).eps * 4)


def operators(layer, x):
    program = torch.export.export(PlainSwitchNorm(layer), (x,))
    return [str(n.target) for n in program.graph.nodes if n.op == "call_function"]


def test_what_has_ratio_0_is_not_computed():
    x = torch.randn(2, 6, 4, 5)
    assert operators(trained(choice=Choice("bn", "bn")), x) == ["aten.batch_norm.default"]
    assert sum("mean" in op for op in operators(trained(choice=Choice("in", "in")), x)) == 2
    assert sum("mean" in op for op in operators(trained(choice=Choice("in", "bn")), x)) == 1
    assert not any("float64" in op for op in operators(trained(), x))
    sparse = operators(trained(SparseSwitchNorm, radius=0.1), x)
    assert not any(op.startswith(("aten.sort", "aten.softmax", "aten.where")) for op in sparse)
    assert not list(PlainSwitchNorm(trained(choice=Choice("ln", "ln"))).parameters())
    assert PlainSwitchNorm(trained(choice=Choice("ln", "ln"))).running_mean is None


def test_all_norms_of_a_model_are_replaced_the_shared_ones_once():
    shared = SwitchNorm2d(3)
    model = nn.Sequential(shared, nn.Conv2d(3, 3, 1), shared).eval()
    x = torch.randn(2, 3, 4, 4)
    expected = model(x)
    plain = replace_norms(model)
    assert not list(normlib.switch_norm_layers(plain))
    assert plain[0] is plain[2]
    assert_same(plain(x), expected)
    assert isinstance(replace_norms(SwitchNorm2d(3)), PlainSwitchNorm)
