"""Parameter groups of switchable norms, and the clipping of their control parameters."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper, build_optim_wrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

import normlib
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.optimizer import SwitchNormOptimWrapperConstructor

LR, DECAY = 0.1, 0.01
CONTROL = ("mean_weight", "var_weight")


class Net(nn.Module):
    def __init__(self, norm=normlib.SwitchNorm):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.depthwise = nn.Conv2d(4, 4, 3, groups=4)
        self.norm = norm(4)
        self.head = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))

    def forward(self, x):
        return self.head(self.norm(self.depthwise(self.conv(x))).mean((2, 3)))


def build(model, paramwise_cfg=None, optimizer=None, type="OptimWrapper", **wrapper):
    optimizer = optimizer or dict(type="SGD", lr=LR, weight_decay=DECAY, momentum=0.9)
    cfg = dict(
        type=type,
        optimizer=optimizer,
        constructor="SwitchNormOptimWrapperConstructor",
        paramwise_cfg=paramwise_cfg,
        **wrapper,
    )
    return build_optim_wrapper(model, cfg)


def settings(model, wrapper):
    """(learning rate, weight decay) of every parameter by name."""
    found = {
        id(p): (group["lr"], group["weight_decay"])
        for group in wrapper.optimizer.param_groups
        for p in group["params"]
    }
    return {name: found[id(p)] for name, p in model.named_parameters() if id(p) in found}


RULES = [
    None,
    {},
    dict(norm_decay_mult=0.0),
    dict(bias_lr_mult=2.0, bias_decay_mult=0.0),
    dict(bias_lr_mult=2.0, bias_decay_mult=0.5, norm_decay_mult=0.1, flat_decay_mult=0.2),
    dict(flat_decay_mult=0.0, dwconv_decay_mult=0.3),
    dict(custom_keys={"norm": dict(lr_mult=0.5), "norm.bias": dict(decay_mult=3.0, lr=7.0)}),
    dict(custom_keys={"norm.w": dict(lr_mult=2), "weight": dict(lr_mult=3)}, norm_decay_mult=0.0),
    dict(custom_keys={"weight": dict(lr_mult=2), "m.weig": dict(lr_mult=3)}),
]


class TestGroups:
    @pytest.mark.parametrize("rules", RULES)
    def test_gamma_and_beta_are_set_as_those_of_batch_norm(self, rules):
        switch, batch = Net(), Net(nn.BatchNorm2d)
        actual = settings(switch, build(switch, rules))
        expected = settings(batch, build(batch, rules))
        assert {k: v for k, v in actual.items() if not k.endswith(CONTROL)} == expected

    @pytest.mark.parametrize("rules", RULES)
    def test_every_parameter_is_in_one_group(self, rules):
        model = Net()
        for groups in (build(model, rules), build(model, {**(rules or {}), "control_lr_mult": 2})):
            held = Counter(id(p) for g in groups.optimizer.param_groups for p in g["params"])
            assert held == Counter(id(p) for p in model.parameters())

    @pytest.mark.parametrize("rules", RULES)
    def test_without_switchable_norms_it_is_mmengines(self, rules):
        model = Net(nn.BatchNorm2d)
        own = build(model, {**(rules or {}), "control_lr_mult": 0.1, "control_clip_grad": 1.0})
        cfg = dict(optimizer=dict(type="SGD", lr=LR, weight_decay=DECAY, momentum=0.9))
        default = DefaultOptimWrapperConstructor(cfg, rules)(model)
        assert settings(model, own) == settings(model, default)

    @pytest.mark.parametrize(
        ("rules", "expected"),
        [
            ({}, (LR, DECAY)),
            (dict(control_lr_mult=0.5), (LR * 0.5, DECAY)),
            (dict(control_lr_mult=0), (0, DECAY)),
            (dict(control_decay_mult=0.2), (LR, DECAY * 0.2)),
            (dict(norm_decay_mult=0.5), (LR, DECAY * 0.5)),
            (dict(flat_decay_mult=0.5), (LR, DECAY * 0.5)),
            (dict(norm_decay_mult=0.0, flat_decay_mult=0.5), (LR, 0)),
            (dict(control_decay_mult=0.2, norm_decay_mult=0.0), (LR, DECAY * 0.2)),
            (dict(control_decay_mult=None, norm_decay_mult=0.5), (LR, DECAY * 0.5)),
            (dict(control_lr_mult=None, bias_lr_mult=3, bias_decay_mult=3), (LR, DECAY)),
            (dict(control_lr_mult=2, custom_keys={"norm": dict(decay_mult=3)}), (LR, DECAY * 3)),
            (dict(control_lr_mult=2, custom_keys={"conv": dict(lr_mult=3)}), (LR * 2, DECAY)),
        ],
    )
    def test_control_parameters(self, rules, expected):
        model = Net(normlib.SyncSparseSwitchNorm)
        found = settings(model, build(model, rules))
        assert found["norm.mean_weight"] == found["norm.var_weight"] == expected

    def test_frozen_parameters_are_left_out(self):
        model = Net()
        model.norm.requires_grad_(False)
        names = settings(model, build(model, dict(control_lr_mult=0.1)))
        assert set(names) == {n for n, _ in model.named_parameters() if not n.startswith("norm.")}

    def test_duplicates_are_left_out_when_asked(self):
        model = Net()
        model.again = nn.ModuleList([model.norm, model.conv])
        with pytest.raises(ValueError, match="more than one parameter group"):
            build(model, dict(control_lr_mult=0.1))
        wrapper = build(model, dict(control_lr_mult=0.1, bypass_duplicate=True))
        held = [id(p) for group in wrapper.optimizer.param_groups for p in group["params"]]
        assert len(held) == len(set(held)) == len(list(model.parameters()))

    def test_a_model_that_is_wrapped(self):
        model = Net()
        wrapped = nn.DataParallel(model)
        rules = dict(control_lr_mult=0.1, control_clip_grad=1.0)
        assert settings(model, build(wrapped, rules)) == settings(model, build(model, rules))


class TestBadValues:
    @pytest.mark.parametrize("key", ["control_lr_mult", "control_decay_mult", "control_clip_grad"])
    @pytest.mark.parametrize("value", [-1, "0.1", True, float("nan")])
    def test_no_number_from_0_on(self, key, value):
        with pytest.raises(ConfigError, match=rf"paramwise_cfg\.{key} is .*number from 0 on"):
            build(Net(), {key: value})

    @pytest.mark.parametrize(
        ("key", "optimizer", "base"),
        [
            ("control_lr_mult", dict(type="AdamW", weight_decay=0.1), "lr"),
            ("control_decay_mult", dict(type="AdamW", lr=0.1), "weight_decay"),
        ],
    )
    def test_a_factor_on_nothing(self, key, optimizer, base):
        with pytest.raises(ConfigError, match=rf"{key} scales optim_wrapper\.optimizer\.{base},"):
            build(Net(), {key: 0.1}, optimizer)

    def test_the_config_is_not_changed(self):
        rules = dict(control_lr_mult=0.1, control_clip_grad=1.0)
        cfg = dict(optimizer=dict(type="SGD", lr=LR))
        SwitchNormOptimWrapperConstructor(cfg, rules)
        assert rules == dict(control_lr_mult=0.1, control_clip_grad=1.0)
        assert cfg == dict(optimizer=dict(type="SGD", lr=LR))


def descend(model, wrapper, gradient, times=1):
    """Run a loss with the given gradient for every parameter; what each has moved, over -LR."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for _ in range(times):
        loss = sum((p * gradient[name]).sum() for name, p in model.named_parameters())
        wrapper.update_params(loss)
    return {name: (before[name] - p.detach()) / LR for name, p in model.named_parameters()}


SGD = dict(type="SGD", lr=LR)


class TestClipping:
    @pytest.fixture
    def model(self):
        return Net(normlib.SparseSwitchNorm).double()

    @pytest.fixture
    def gradient(self, model):
        return {name: torch.randn_like(p) * 100 for name, p in model.named_parameters()}

    @staticmethod
    def norm_of(moved):
        return torch.cat([moved[f"norm.{name}"] for name in CONTROL]).norm().item()

    def clipped(self, gradient, limit):
        """Control gradients scaled to norm ``limit``, the others as they are."""
        factor = limit / (self.norm_of(gradient) + 1e-6)  # as torch divides
        return {n: g * factor if n.endswith(CONTROL) else g for n, g in gradient.items()}

    def assert_same(self, moved, expected):
        for name, value in expected.items():
            torch.testing.assert_close(moved[name], value, rtol=1e-6, atol=1e-9, msg=name)

    def test_control_gradients_alone(self, model, gradient):
        wrapper = build(model, dict(control_clip_grad=1.0), SGD)
        moved = descend(model, wrapper, gradient)
        self.assert_same(moved, self.clipped(gradient, 1.0))

    def test_small_gradients_are_left_alone(self, model, gradient):
        wrapper = build(model, dict(control_clip_grad=1e4), SGD)
        self.assert_same(descend(model, wrapper, gradient), gradient)

    def test_after_accumulation(self, model, gradient):
        wrapper = build(model, dict(control_clip_grad=1.0), SGD, accumulative_counts=3)
        for _ in range(2):
            assert all(not v.any() for v in descend(model, wrapper, gradient).values())
        self.assert_same(descend(model, wrapper, gradient), self.clipped(gradient, 1.0))

    def test_after_the_clipping_of_all(self, model, gradient):
        clip = dict(max_norm=10.0)
        wrapper = build(model, dict(control_clip_grad=0.5), SGD, clip_grad=clip)
        whole = torch.cat([g.flatten() for g in gradient.values()]).norm()
        shrunk = {name: g * 10 / whole for name, g in gradient.items()}
        assert self.norm_of(shrunk) > 0.5
        self.assert_same(descend(model, wrapper, gradient), self.clipped(shrunk, 0.5))

    @pytest.mark.parametrize("fused", [False, True])
    def test_after_a_scaled_loss(self, model, gradient, fused):
        wrapper = build(
            model, dict(control_clip_grad=1.0), {**SGD, "fused": fused}, "ScalingOptimWrapper"
        )
        moved = descend(model, wrapper, gradient)
        self.assert_same(moved, self.clipped(gradient, 1.0))

    def test_frozen_control_parameters(self, model, gradient):
        model.norm.mean_weight.requires_grad_(False)
        wrapper = build(model, dict(control_clip_grad=1.0), SGD)
        moved = descend(model, wrapper, gradient)
        assert not moved["norm.mean_weight"].any()
        assert moved["norm.var_weight"].norm().item() == pytest.approx(1.0, rel=1e-6)


@OPTIM_WRAPPERS.register_module(force=True)
class ScalingOptimWrapper(OptimWrapper):
    """The steps of mmengine's AmpOptimWrapper, which insists on a GPU."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

    def backward(self, loss, **kwargs):
        self.scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs):
        self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()
