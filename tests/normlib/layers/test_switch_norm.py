from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch._dynamo.testing import CompileCounter

import normlib
from normlib import SparseSwitchNorm, SwitchNorm, SyncSparseSwitchNorm, SyncSwitchNorm
from normlib.layers import Choice

LAYERS = [SwitchNorm, SyncSwitchNorm, SparseSwitchNorm, SyncSparseSwitchNorm]
SHAPES = {2: (4, 6), 3: (4, 6, 5), 4: (4, 6, 5, 3), 5: (4, 6, 2, 5, 3)}


@pytest.mark.parametrize("dims", SHAPES)
@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_takes_two_to_five_dimensions(layer, dims):
    norm = layer(6)
    x = torch.randn(SHAPES[dims], requires_grad=True)
    y = norm(x)
    y.square().sum().backward()
    assert y.shape == x.shape
    assert all(torch.isfinite(p.grad).all() for p in (x, *norm.parameters()))
    assert torch.isfinite(norm.eval()(x)).all()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_output_may_be_modified_in_place(memory_format):
    norm = SwitchNorm(6).double()
    x = torch.randn(4, 6, 5, 3, dtype=torch.float64).to(memory_format=memory_format)
    x.requires_grad_()
    (expected,) = torch.autograd.grad(norm(x).relu().pow(2).sum(), x)
    (actual,) = torch.autograd.grad(norm(x).relu_().pow(2).sum(), x)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize(("suffix", "allowed"), [("1d", {2, 3}), ("2d", {4}), ("3d", {5})])
@pytest.mark.parametrize("layer", LAYERS)
def test_aliases_check_the_number_of_dimensions(layer, suffix, allowed):
    name = layer.__name__ + suffix
    norm = getattr(normlib, name)(6)
    assert isinstance(norm, layer)
    for dims, shape in SHAPES.items():
        if dims in allowed:
            norm(torch.randn(shape))
        else:
            with pytest.raises(ValueError, match=rf"{name}: input has shape .*, {dims} dimensions"):
                norm(torch.randn(shape))


def test_state_dict_is_flat_and_named_as_documented():
    state = SwitchNorm(6).state_dict()
    assert {k: tuple(v.shape) for k, v in state.items()} == {
        "weight": (6,),
        "bias": (6,),
        "mean_weight": (3,),
        "var_weight": (3,),
        "running_mean": (6,),
        "running_var": (6,),
    }
    assert set(SparseSwitchNorm(6).state_dict()) == {*state, "radius"}
    without_bn = SwitchNorm(6, normalizers=("in", "ln"), affine=False).state_dict()
    assert {k: tuple(v.shape) for k, v in without_bn.items()} == {
        "mean_weight": (2,),
        "var_weight": (2,),
    }


@pytest.mark.parametrize("layer", LAYERS)
def test_round_trips_keep_the_output(layer):
    norm = layer(6)
    for parameter in norm.parameters():
        torch.nn.init.uniform_(parameter)
    norm(torch.randn(4, 6, 5, 3))
    norm.eval()
    x = torch.randn(4, 6, 5, 3)
    expected = norm(x)
    fresh = layer(6)
    fresh.load_state_dict(norm.state_dict())
    stored = io.BytesIO()
    torch.save(norm.state_dict(), stored)
    stored.seek(0)
    reloaded = layer(6)
    reloaded.load_state_dict(torch.load(stored, weights_only=True))
    for other in (fresh, reloaded, copy.deepcopy(norm), pickle.loads(pickle.dumps(norm))):
        assert torch.equal(other.eval()(x), expected)


def test_older_shapes_load():
    state = SwitchNorm(6).state_dict()
    for parameter in state.values():
        parameter.uniform_()
    old = {
        "weight": state["weight"].view(1, 6, 1, 1),
        "bias": state["bias"].view(1, 6, 1, 1, 1),
        "mean_weight": state["mean_weight"],
        "var_weight": state["var_weight"],
        "running_mean": state["running_mean"].view(1, 6, 1),
        "running_var": state["running_var"].view(1, 6, 1),
    }
    norm = SwitchNorm(6)
    norm.load_state_dict(old)
    assert all(torch.equal(v, state[k]) for k, v in norm.state_dict().items())
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        norm.load_state_dict({**old, "weight": torch.ones(1, 5, 1, 1)})


def test_a_plain_sn_checkpoint_loads_into_a_sparse_layer_and_keeps_its_radius():
    norm = SparseSwitchNorm(6, radius=0.25)
    norm.load_state_dict(SwitchNorm(6).state_dict())
    assert norm.radius == 0.25


def test_cumulative_average():
    norm = SwitchNorm(6, momentum=None).double()
    batches = [torch.randn(4, 6, 5, 3, dtype=torch.float64) for _ in range(3)]
    for batch in batches:
        norm(batch)
    means = torch.stack([b.mean((0, 2, 3)) for b in batches])
    variances = torch.stack([b.var((0, 2, 3), correction=0) for b in batches])
    torch.testing.assert_close(norm.running_mean, means.mean(0))
    torch.testing.assert_close(norm.running_var, variances.mean(0))
    norm.reset_running_stats()
    assert norm.running_mean.eq(0).all()
    assert norm.running_var.eq(1).all()
    assert norm.num_batches_tracked == 0


def test_an_empty_batch_does_not_count_in_the_cumulative_average():
    norm = SwitchNorm(3, momentum=None)
    norm(torch.empty(0, 3, 2, 2))
    norm(torch.full((2, 3, 2, 2), 5.0))
    assert norm.num_batches_tracked == 1
    assert norm.running_mean.tolist() == [5, 5, 5]


def test_evaluation_changes_nothing_and_does_not_mix_samples():
    norm = SwitchNorm(6)
    norm(torch.randn(4, 6, 5, 3))
    norm.eval()
    before = copy.deepcopy(norm.state_dict())
    x = torch.randn(4, 6, 5, 3)
    torch.testing.assert_close(norm(x)[:1], norm(x[:1]))
    assert all(torch.equal(v, before[k]) for k, v in norm.state_dict().items())


def test_zero_initialised_gamma():
    norm = SwitchNorm(6)
    torch.nn.init.zeros_(norm.weight)
    x = torch.randn(4, 6, 5, 3, requires_grad=True)
    y = norm(x)
    y.sum().backward()
    assert y.eq(0).all()
    assert x.grad.eq(0).all()
    assert norm.weight.grad.isfinite().all()


def test_logit_gradients_sum_to_zero():
    norm = SwitchNorm(6).double()
    norm(torch.randn(4, 6, 5, 3, dtype=torch.float64)).pow(3).sum().backward()
    for logits in (norm.mean_weight, norm.var_weight):
        assert logits.grad.abs().max() > 1e-3
        assert logits.grad.sum().abs() < 1e-10


@pytest.mark.parametrize("dims", [2, 4])
@pytest.mark.parametrize("layer", [SwitchNorm, SparseSwitchNorm])
def test_compiles_to_one_graph_with_the_same_results(layer, dims):
    torch._dynamo.reset()
    norm = layer(6)
    twin = copy.deepcopy(norm)
    x = torch.randn(SHAPES[dims], requires_grad=True)
    x2 = x.detach().clone().requires_grad_()
    compiled = torch.compile(norm, fullgraph=True, backend="aot_eager")
    for _ in range(2):
        compiled(x).pow(3).sum().backward()
        twin(x2).pow(3).sum().backward()
    torch.testing.assert_close(x.grad, x2.grad)
    for a, b in zip(norm.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(norm.running_var, twin.running_var)


def test_autocast_normalises_in_the_dtype_it_is_given():
    norm = SwitchNorm(6)
    convolution = torch.nn.Conv2d(6, 6, 3, padding=1)
    x = torch.randn(4, 6, 8, 8) * 3
    expected = norm(convolution(x))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = norm(convolution(x))
    assert y.dtype == torch.bfloat16
    assert (y - expected).abs().max() < 0.1
    y.sum().backward()
    assert norm.mean_weight.grad.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_features": 0}, "num_features is 0"),
        ({"num_features": 4, "normalizers": ("in", "xn")}, "normalizers is"),
        ({"num_features": 4, "momentum": 1.5}, "momentum is 1.5"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        SwitchNorm(**arguments)


def test_wrong_channel_count():
    with pytest.raises(ValueError, match=r"has 5 channels .* made for 6"):
        SwitchNorm(6)(torch.randn(2, 5, 3, 3))


def test_instance_statistics_alone_do_not_serve_a_2d_input():
    with pytest.raises(ValueError, match="no instance statistics"):
        SwitchNorm(6, normalizers=("in",))(torch.randn(2, 6))


@pytest.mark.parametrize("layer", LAYERS)
def test_harden_picks_the_largest_ratio_and_ends_its_gradient(layer):
    norm = layer(6).double()
    with torch.no_grad():
        norm.mean_weight.copy_(torch.tensor([0.3, 0.9, 0.1]))
        norm.var_weight.copy_(torch.tensor([0.1, 0.2, 0.4]))
    assert normlib.harden(torch.nn.Sequential(norm)) == 1
    assert norm.choice == ("ln", "bn")
    mean, var = norm.ratios()
    assert mean.tolist() == [0, 1, 0]
    assert var.tolist() == [0, 0, 1]
    optimizer = torch.optim.SGD(norm.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        x, grad = torch.randn(2, 4, 6, 5, 3, dtype=torch.float64).unbind()
        norm(x).backward(grad)
        assert norm.mean_weight.grad.abs().max() == 0 == norm.var_weight.grad.abs().max()
        optimizer.step()
    assert norm.ratios()[0].tolist() == [0, 1, 0]


@pytest.mark.parametrize("layer", [SwitchNorm, SparseSwitchNorm])
def test_a_choice_travels_in_the_state_dict_and_can_be_released(layer):
    norm = layer(6)
    norm.settle(Choice("in", None))
    loaded = layer(6)
    loaded.load_state_dict(norm.state_dict())
    assert loaded.choice == ("in", None)
    assert normlib.release(loaded, confidence=0.6) == 1
    assert loaded.choice == (None, None)
    torch.testing.assert_close(loaded.ratios()[0], torch.tensor([0.6, 0.2, 0.2]))
    loaded(torch.randn(4, 6, 5, 3)).pow(3).sum().backward()
    assert loaded.mean_weight.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="confidence is 1"):
        loaded.release(1)


@pytest.mark.parametrize("layer", [SwitchNorm, SparseSwitchNorm])
def test_a_choice_outlives_any_weight_decay(layer):
    norm = layer(4)
    norm.settle(Choice("in", "bn"))
    with torch.no_grad():
        norm.mean_weight.mul_(1e-6)
        norm.var_weight.add_(torch.tensor([2e4, 0.0, 0.0]))
    assert [r.tolist() for r in norm.ratios()] == [[1, 0, 0], [0, 0, 1]]
    norm(torch.randn(2, 4, 3, 3)).sum().backward()
    assert norm.mean_weight.grad.tolist() == [0, 0, 0]
    loaded = layer(4)
    loaded.load_state_dict(norm.state_dict())
    assert loaded.choice == ("in", "bn")


def test_release_at_the_radius_a_layer_was_trained_to():
    norm = SparseSwitchNorm(4, radius=0.99)
    with torch.no_grad():
        norm.mean_weight.copy_(torch.tensor([1.0, 1.2, 0.9]))
    assert norm.choice == (None, None)
    assert norm.ratios()[0].tolist() == [0, 1, 0]
    assert normlib.release(norm, 0.6) == 1
    torch.testing.assert_close(norm.ratios()[0], torch.tensor([0.2, 0.6, 0.2]))
    norm(torch.randn(2, 4, 3, 3)).pow(3).sum().backward()
    assert norm.mean_weight.grad.abs().sum() > 0


def test_layers_made_on_the_meta_device():
    with torch.device("meta"):
        norms = [SparseSwitchNorm(4, radius=0.25) for _ in range(2)]
    norms[0].to_empty(device="cpu").reset_parameters()
    norms[1].load_state_dict(SwitchNorm(4).state_dict(), assign=True)
    for norm in norms:
        assert norm.radius == 0.25
        assert torch.isfinite(norm(torch.randn(2, 4, 3, 3))).all()


def test_jit_tracing_of_a_trained_layer():
    norm = SwitchNorm(4).eval()
    x = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(torch.jit.trace(norm, x)(x), norm(x))


def test_setting_the_radius_does_not_recompile():
    torch._dynamo.reset()
    counter = CompileCounter()
    norm = SparseSwitchNorm(4)
    compiled = torch.compile(norm, backend=counter, fullgraph=True)
    for radius in (0.0, 0.3, 0.9):
        normlib.set_radius(norm, radius)
        compiled(torch.randn(2, 4, 3, 3))
    assert counter.frame_count == 1


def test_a_choice_without_the_batch_takes_no_batch_statistics():
    norm = SwitchNorm(6)
    norm.settle(Choice("in", "ln"))
    x = torch.randn(4, 6, 5, 3)
    x[3] = float("nan")
    assert torch.isfinite(norm(x)[:3]).all()
    assert norm.running_mean.eq(0).all()
    norm.running_var.fill_(float("nan"))
    assert torch.isfinite(copy.deepcopy(norm).eval()(x)[:3]).all()
    expected = SwitchNorm(6, normalizers=("in", "ln"))
    expected.settle(Choice("in", "ln"))
    torch.testing.assert_close(norm(x[:3]), expected(x[:3]))


def test_layers_of_a_model_are_found_by_name():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 1), SwitchNorm(6), SparseSwitchNorm(6))
    assert [name for name, _ in normlib.switch_norm_layers(model)] == ["1", "2"]


def test_radius_of_every_sparse_layer():
    model = torch.nn.Sequential(SwitchNorm(6), SparseSwitchNorm(6), SyncSparseSwitchNorm(6))
    normlib.set_radius(model, 0.9)
    assert [float(model[k].radius) for k in (1, 2)] == pytest.approx([0.9, 0.9])
    with torch.no_grad():
        model[1].mean_weight.copy_(torch.tensor([1.0, 1.1, 0.9]))
    assert model[1].ratios()[0].tolist() == [0, 1, 0]
    for action in (lambda: normlib.set_radius(model, -1), lambda: SparseSwitchNorm(6, radius=-1)):
        with pytest.raises(ValueError, match="radius is -1; it must be 0 or more, and finite"):
            action()


class TestDropout:
    def test_drops_and_scales_in_training_alone(self):
        layer, plain = SwitchNorm(8, dropout=0.25), SwitchNorm(8)
        x = torch.randn(4, 8, 16, 16)
        y, expected = layer(x), plain(x)
        kept = y != 0
        assert 0.7 < kept.double().mean() < 0.8
        torch.testing.assert_close(y[kept], expected[kept] / 0.75)
        assert torch.equal(layer.eval()(x), plain.eval()(x))

    def test_mistakes(self):
        with pytest.raises(ValueError, match=r"dropout is 1; it must lie in \[0, 1\)"):
            SwitchNorm(8, dropout=1)
        x = torch.randn(2, 8, 4, 4)
        with pytest.raises(ValueError, match="would drop the residual"):
            SwitchNorm(8, dropout=0.1)(x, residual=x)
