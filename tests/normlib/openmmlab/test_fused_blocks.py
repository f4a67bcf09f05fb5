"""Norms that do the ReLU after them compute what the model computed before."""

from __future__ import annotations

import copy
import itertools
import pickle
from pathlib import Path

import pytest
import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import nn

import normlib
from normlib import SwitchNorm, switch_norm_layers
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.fused_blocks import fuse_norm_activation
from normlib.openmmlab.launch import build_runner, load_config

TINY = str(Path(__file__).parents[2] / "tiny" / "config.py")
SN = dict(type="SN")
RESNEXT = dict(groups=2, base_width=4)
CONTEXT = dict(type="ContextBlock", ratio=0.5)
SMALL = dict(
    base_channels=8,
    stem_channels=8,
    num_stages=2,
    strides=(1, 2),
    dilations=(1, 1),
    out_indices=(0, 1),
)


def build(library, kind, depth, **kwargs):
    """The first two stages of a backbone, narrow, in float64, with random norms."""
    if library == "mmdet":
        from mmdet.models import backbones
    else:
        from mmseg.models import backbones
    kwargs = dict(norm_cfg=SN, **SMALL) | kwargs
    model = getattr(backbones, kind)(depth=depth, **kwargs).double()
    for _, layer in switch_norm_layers(model):
        for parameter in layer.parameters():
            nn.init.normal_(parameter)
        nn.init.normal_(layer.running_mean)
    model.train()
    return model


def fuse(model):
    """A fused copy, with the number of its norms that do a ReLU."""
    fused = copy.deepcopy(model)
    return fused, fuse_norm_activation(fused)


def results(model, x):
    """Outputs, gradients, and the buffers after the pass, by name."""
    model.zero_grad()
    x = x.clone().requires_grad_()
    outputs = model(x)
    if isinstance(outputs, torch.Tensor):
        outputs = [outputs]
    weights = [torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y) for y in outputs]
    sum((w * y).sum() for w, y in zip(weights, outputs, strict=True)).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    named = {str(k): y for k, y in enumerate(outputs)}
    return {**named, "input": x.grad, **gradients, **dict(model.named_buffers())}


def assert_same(model, fused, x, tolerance=1e-11):
    expected, actual = results(model, x), results(fused, x)
    assert list(actual) == list(expected)
    for name, value in expected.items():
        error = (actual[name] - value).abs().max()
        assert error <= tolerance * value.abs().max().clamp(min=1), name


def image(side=24):
    return torch.randn(2, 3, side, side, dtype=torch.float64)


BACKBONES = [
    ("mmdet", "ResNet", 18, {}, 1 + 8),
    ("mmdet", "ResNet", 50, {}, 1 + 21),
    ("mmdet", "ResNeXt", 50, RESNEXT, 1 + 21),
    ("mmseg", "ResNetV1c", 18, {}, 3 + 8),
    ("mmseg", "ResNetV1d", 50, dict(style="caffe"), 3 + 21),
]
BACKBONE_IDS = [f"{library} {kind}-{depth}" for library, kind, depth, *_ in BACKBONES]


# mmdet and mmseg leave use_reentrant to torch.
@pytest.mark.filterwarnings("ignore:torch.utils.checkpoint:UserWarning")
@pytest.mark.parametrize("with_cp", [False, True], ids=["", "with_cp"])
@pytest.mark.parametrize(
    ("library", "kind", "depth", "kwargs", "norms"), BACKBONES, ids=BACKBONE_IDS
)
def test_outputs_gradients_and_statistics_stay(library, kind, depth, kwargs, norms, with_cp):
    model = build(library, kind, depth, with_cp=with_cp, **kwargs)
    fused, count = fuse(model)
    assert count == norms
    assert sum(layer.activation == "relu" for _, layer in switch_norm_layers(fused)) == norms
    assert list(fused.state_dict()) == list(model.state_dict())
    for training in (True, False):
        model.train(training)
        fused.train(training)
        assert_same(model, fused, image())


@pytest.mark.filterwarnings("ignore:torch.utils.checkpoint:UserWarning")
def test_checkpointed_blocks_run_again_to_their_end():
    model = build("mmdet", "ResNet", 18, with_cp=True)
    fused, _ = fuse(model)
    calls = []
    fused.layer1[1].conv1.register_forward_hook(lambda *_: calls.append(1))
    with normlib.use_backend("eager"):  # updates running statistics after all else
        assert_same(model, fused, image())
    assert len(calls) == 2


def test_the_shortcut_is_not_written_to():
    model = build("mmdet", "ResNet", 18)
    fused, _ = fuse(model)
    x = torch.randn(2, 8, 9, 9, dtype=torch.float64)
    before = x.clone()
    with torch.no_grad():
        assert not torch.equal(fused.layer1[1](x), x)
    assert torch.equal(x, before)


def test_no_relu_is_left_to_do():
    fused, _ = fuse(build("mmdet", "ResNet", 18))
    calls = []
    for module in fused.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda *_: calls.append(1))
    fused(image())
    assert calls == []


def test_frozen_stages_stay_frozen():
    model = build("mmdet", "ResNet", 18, frozen_stages=1)
    fused, _ = fuse(model)
    fused.train()
    assert_same(model, fused, image())
    assert not fused.layer1[0].norm1.training
    assert not fused.layer1[0].norm1.weight.requires_grad
    assert fused.layer2[0].norm1.training


@pytest.mark.parametrize("library", ["mmdet", "mmseg"])
@pytest.mark.parametrize(
    ("position", "norms"), [("after_conv1", 22), ("after_conv2", 22), ("after_conv3", 1 + 9)]
)
def test_plugins(library, position, norms):
    """Blocks with one after their last norm are as they were."""
    plugin = dict(cfg=CONTEXT, stages=(False, True), position=position)
    model = build(library, "ResNet", 50, plugins=[plugin])
    fused, count = fuse(model)
    assert count == norms
    assert_same(model, fused, image())


def test_sparse_and_synchronised_norms():
    for kind in ("SSN", "SyncSN"):
        model = build("mmdet", "ResNet", 18, norm_cfg=dict(type=kind))
        fused, count = fuse(model)
        assert count == 9
        assert_same(model, fused, image())


def test_mixed_precision():
    """The shortcut may have another dtype than the branch, which then decides."""
    model = build("mmdet", "ResNet", 18).float()
    fused, _ = fuse(model)
    x = image().float()
    with torch.autocast("cpu", torch.bfloat16):
        expected, actual = model(x), fused(x)
        block, own = model.layer1[1], fused.layer1[1]
        y = expected[0].detach().float()
        assert own(y).dtype == block(y).dtype == torch.bfloat16
    for a, b in zip(expected, actual, strict=True):
        assert b.dtype == a.dtype
        assert (a - b).abs().mean() <= 0.05 * a.abs().mean()


def test_copies_are_independent_and_fused():
    model = build("mmdet", "ResNet", 18)
    fused, _ = fuse(model)
    for copied in (copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))):
        twin = copied(fused)
        assert type(twin.layer1[0]) is type(fused.layer1[0])
        with torch.no_grad():
            twin.layer1[0].conv1.weight.zero_()
        assert_same(model, fused, image())
        assert_same(copy.deepcopy(model), copied(fused), image())


def test_blocks_stay_instances_of_their_class():
    model = build("mmdet", "ResNeXt", 50, **RESNEXT)
    block = type(model.layer1[0])
    fuse_norm_activation(model)
    assert isinstance(model.layer1[0], block)
    assert "Bottleneck" in type(model.layer1[0]).__name__


def test_a_second_time_there_is_nothing_to_do():
    fused, _ = fuse(build("mmdet", "ResNet", 18))
    classes = [type(m) for m in fused.modules()]
    assert fuse_norm_activation(fused) == 0
    assert [type(m) for m in fused.modules()] == classes


@pytest.mark.parametrize(
    "norm_cfg", [dict(type="BN"), dict(type="SN", activation="relu")], ids=["BN", "already"]
)
def test_other_norms_are_left_alone(norm_cfg):
    model = build("mmdet", "ResNet", 18, norm_cfg=norm_cfg)
    fused, count = fuse(model)
    assert count == 0
    assert [type(m) for m in fused.modules()] == [type(m) for m in model.modules()]


def test_blocks_with_a_forward_of_their_own_are_left_alone():
    from mmdet.models.backbones.res2net import Bottle2neck

    model = Bottle2neck(32, 8, norm_cfg=SN, scales=2, base_width=8).double()
    fused, count = fuse(model)
    assert count == 0
    assert type(fused) is Bottle2neck
    x = torch.randn(2, 32, 9, 9, dtype=torch.float64)
    assert torch.equal(fused(x), model(x))


def test_blocks_with_another_activation_are_left_alone():
    model = build("mmdet", "ResNet", 18)
    for block in model.layer1:
        block.relu = nn.GELU()
    fused, count = fuse(model)
    assert count == 9 - 4
    assert_same(model, fused, image())


CONV_MODULES = [
    (dict(norm_cfg=SN), 1),
    (dict(norm_cfg=SN, act_cfg=None), 0),
    (dict(norm_cfg=SN, act_cfg=dict(type="GELU")), 0),
    (dict(norm_cfg=SN, order=("conv", "act", "norm")), 0),
    (dict(norm_cfg=dict(type="BN")), 0),
    (dict(norm_cfg=None), 0),
]


@pytest.mark.parametrize(("kwargs", "norms"), CONV_MODULES, ids=[str(k) for k, _ in CONV_MODULES])
def test_conv_modules(kwargs, norms):
    model = ConvModule(3, 4, 3, **kwargs).double()
    fused, count = fuse(model)
    assert count == norms
    assert list(fused.state_dict()) == list(model.state_dict())
    assert_same(model, fused, image(9))


@MODELS.register_module(force=True)
class TinyConvModule(BaseModule):
    def __init__(self, channels=4, norm_cfg=None, init_cfg=None):
        super().__init__(init_cfg)
        self.conv = ConvModule(3, channels, 3, norm_cfg=norm_cfg)

    def forward(self, x):
        return self.conv(x).mean((2, 3))


class TestConfig:
    @pytest.fixture
    def run(self, tmp_path):
        """A runner of the tiny config, with options, and what it has logged."""
        count = itertools.count()

        def built(options, norm="SN", train=False):
            name = f"{tmp_path.name}-{next(count)}"
            options = {
                "work_dir": str(tmp_path / name),
                "experiment_name": name,
                "model.backbone.type": "TinyConvModule",
                "norm_cfg.type": norm,
                **options,
            }
            runner = build_runner(load_config(TINY, options))
            if train:
                runner.train()
            return runner, Path(runner.log_dir, f"{runner.timestamp}.log").read_text()

        return built

    def test_the_log_says_how_many(self, run):
        runner, log = run({"fuse_norm_activation": True})
        assert log.count("fuse_norm_activation: 1 of 1 switchable norms do the ReLU") == 1
        assert runner.model.backbone.conv.norm.activation == "relu"

    def test_without_the_key_nothing_changes(self, run):
        for options in ({}, {"fuse_norm_activation": False}):
            runner, log = run(options)
            assert "switchable norms do" not in log
            assert runner.model.backbone.conv.norm.activation is None

    def test_other_norms_are_noted(self, run):
        runner, log = run({"fuse_norm_activation": True}, norm="BN")
        assert "fuse_norm_activation: 0 of 0 switchable norms" in log
        assert "nothing is fused" in log
        assert type(runner.model.backbone.conv.norm) is nn.BatchNorm2d

    def test_another_value_is_refused(self, run):
        with pytest.raises(ConfigError, match=r"config\.py: fuse_norm_activation is 'relu'"):
            run({"fuse_norm_activation": "relu"})

    def test_training_with_an_average_of_the_weights(self, run):
        hook = [dict(type="EMAHook")]
        losses, averages = [], []
        for fused in (False, True):
            options = {"fuse_norm_activation": fused, "custom_hooks": hook}
            runner, _ = run(options, norm="SSN", train=True)
            losses.append(runner.message_hub.log_scalars["train/loss"].data[0])
            (ema,) = [h for h in runner.hooks if type(h).__name__ == "EMAHook"]
            averages.append(ema.ema_model.module)
        assert losses[1] == pytest.approx(losses[0], rel=1e-5)
        assert averages[1].backbone.conv.norm.activation == "relu"
        for a, b in zip(*(m.state_dict().values() for m in averages), strict=True):
            assert torch.allclose(a, b, atol=1e-5)


def test_a_norm_of_ones_own_class_is_fused_too():
    class Own(normlib.SwitchNorm2d):
        pass

    model = ConvModule(3, 4, 3, norm_cfg=SN).double()
    model.add_module(model.norm_name, Own(4).double())
    fused, count = fuse(model)
    assert count == 1
    assert isinstance(fused.norm, SwitchNorm)
    assert_same(model, fused, image(9))


def test_norms_with_dropout_are_left_alone():
    model = build("mmdet", "ResNet", 18, norm_cfg=dict(type="SN", dropout=0.1))
    assert fuse_norm_activation(model) == 0
