"""Weights that do not fit are errors that list what does not."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import nn

import normlib
from normlib.openmmlab import commands
from normlib.openmmlab.errors import CheckpointError, ConfigError
from normlib.openmmlab.launch import load_config
from normlib.openmmlab.pretrained import (
    allow_missing_weights,
    bn_to_sn,
    check_weight_files,
    load_weights,
    state_dict_of,
)

TINY = str(Path(__file__).parents[2] / "tiny" / "config.py")


class Net(BaseModule):
    def __init__(self, norm=nn.BatchNorm2d, classes=2, init_cfg=None):
        super().__init__(init_cfg)
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = norm(4)
        self.fc = nn.Linear(4, classes)


def pretrained(path, **kwargs):
    return dict(type="Pretrained", checkpoint=str(path), **kwargs)


def equal(module, weights):
    return all(torch.equal(value, weights[key]) for key, value in module.state_dict().items())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.pth"


@pytest.mark.parametrize("wrap", [dict, lambda w: dict(state_dict=w, meta={})])
@pytest.mark.parametrize("start", ["", "module."])
def test_init_cfg_loads_what_fits(wrap, start, path):
    weights = Net().state_dict()
    torch.save(wrap({start + key: value for key, value in weights.items()}), path)
    net = Net(init_cfg=pretrained(path))
    net.init_weights()
    assert equal(net, weights)


def test_prefix_takes_a_part(path):
    weights = Net().state_dict()
    torch.save({**{f"backbone.{k}": v for k, v in weights.items()}, "head.x": torch.ones(1)}, path)
    net = Net(init_cfg=pretrained(path, prefix="backbone"))
    net.init_weights()
    assert equal(net, weights)

    with pytest.raises(CheckpointError, match=r"nothing under prefix 'neck\.'.*backbone\.conv"):
        Net(init_cfg=pretrained(path, prefix="neck.")).init_weights()


@pytest.mark.parametrize("prefix", [None, "backbone."])
def test_versions_of_modules_survive(prefix):
    net = nn.Sequential()
    net.add_module("backbone", Net())
    got = state_dict_of(net.state_dict(), "file", prefix)
    key = "norm" if prefix else "backbone.norm"
    assert got._metadata[key]["version"] == nn.BatchNorm2d._version


def test_everything_that_is_missing_or_misshapen_is_listed(path):
    torch.save(Net(classes=5).state_dict(), path)
    net = Net(norm=normlib.SwitchNorm2d, init_cfg=pretrained(path))
    with pytest.raises(CheckpointError) as caught:
        net.init_weights()
    text = str(caught.value)
    for part in (str(path), "norm.mean_weight", "norm.var_weight", "fc.weight", "[5, 4]", "[2, 4]"):
        assert part in text
    assert "allow_missing_weights = [" in text


def test_allowed_weights_keep_their_value_and_others_load(path):
    weights = Net(classes=5).state_dict()
    del weights["conv.bias"]
    torch.save(weights, path)
    net = Net(init_cfg=pretrained(path, allow_missing=[r"^fc\.", "bias$"]))
    fc, bias = net.fc.weight.clone(), net.conv.bias.clone()
    net.init_weights()
    assert torch.equal(net.fc.weight, fc)
    assert torch.equal(net.conv.bias, bias)
    assert torch.equal(net.conv.weight, weights["conv.weight"])
    assert torch.equal(net.norm.weight, weights["norm.weight"])


def test_allowing_one_weight_does_not_allow_another(path):
    weights = Net(classes=5).state_dict()
    torch.save(weights, path)
    with pytest.raises(CheckpointError, match=r"fc\.bias") as caught:
        Net(init_cfg=pretrained(path, allow_missing=[r"fc\.weight"])).init_weights()
    assert "size mismatch for fc.weight" not in str(caught.value)


@pytest.fixture
def lines():
    """What is logged."""
    found = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def test_unused_weights_are_one_line_of_the_log(lines):
    net = Net()
    weights = {**net.state_dict(), **{f"old.{i}": torch.ones(1) for i in range(7)}}
    load_weights(net, weights, "r50.pth")
    assert lines == ["r50.pth: 7 unused weights: old.0, old.1, old.2 and 4 more"]


def test_the_counter_of_old_batch_norms_may_be_missing_but_not_on_resuming():
    weights = Net().state_dict()
    del weights["norm.num_batches_tracked"]
    net = Net()
    load_weights(net, weights, "old.pth")
    with pytest.raises(CheckpointError, match="num_batches_tracked"):
        load_weights(net, weights, "old.pth", exact=True)


def test_exact_allows_nothing():
    net = Net()
    weights = net.state_dict()
    with pytest.raises(CheckpointError, match=r"old\.x.*not in the model|not in the model.*old\.x"):
        load_weights(net, {**weights, "old.x": torch.ones(1)}, "f", exact=True)
    del weights["fc.bias"]
    with pytest.raises(CheckpointError, match=r"fc\.bias"):
        load_weights(net, weights, "f", allow_missing=["fc"], exact=True)


@pytest.mark.parametrize("content", [{"optimizer": 1}, [1, 2], {"state_dict": {}}])
def test_files_without_weights(content, path):
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"net\.pth holds .*not a state dict"):
        Net(init_cfg=pretrained(path)).init_weights()


def test_the_top_level_key_reaches_every_init_cfg():
    listed = [dict(type="Normal"), dict(type="Pretrained", checkpoint="b.pth")]
    cfg = Config(
        dict(
            allow_missing_weights=["^fc"],
            model=dict(
                backbone=dict(init_cfg=dict(type="Pretrained", checkpoint="a.pth")),
                heads=[dict(init_cfg=listed)],
                neck=dict(init_cfg=dict(type="Pretrained", checkpoint="c", allow_missing=["own"])),
            ),
        )
    )
    allow_missing_weights(cfg)
    assert cfg.model.backbone.init_cfg.allow_missing == ["^fc"]
    assert cfg.model.heads[0].init_cfg[1].allow_missing == ["^fc"]
    assert "allow_missing" not in cfg.model.heads[0].init_cfg[0]
    assert cfg.model.neck.init_cfg.allow_missing == ["own"]


@pytest.mark.parametrize("value", ["fc.*", ["*fc"], [1]])
def test_patterns_that_are_none(value):
    with pytest.raises(ConfigError, match="allow_missing_weights"):
        allow_missing_weights(Config(dict(allow_missing_weights=value, model=dict())))


def test_missing_files_are_named_with_their_key(path):
    init_cfg = dict(type="Pretrained", checkpoint="checkpoints/none.pth")
    cfg = Config(dict(model=dict(backbone=dict(init_cfg=init_cfg))))
    with pytest.raises(CheckpointError, match=r"model\.backbone\.init_cfg\.checkpoint.*none\.pth"):
        check_weight_files(cfg)
    path.touch()
    cfg.model.backbone.init_cfg.checkpoint = str(path)
    check_weight_files(cfg)
    cfg.load_from = "torchvision://resnet50"
    check_weight_files(cfg)
    cfg.load_from = str(path) + "x"
    with pytest.raises(CheckpointError, match=r"load_from.*by hand"):
        check_weight_files(cfg)
    cfg.load_from = "checkpoints/resnet50_sn_8x2.pth"
    with pytest.raises(CheckpointError, match=r"download_checkpoint\.py resnet50_sn_8x2`"):
        check_weight_files(cfg)


class TestHints:
    def test_a_part_of_a_model_has_a_prefix_to_name(self, path):
        torch.save({f"backbone.{k}": v for k, v in Net().state_dict().items()}, path)
        with pytest.raises(CheckpointError, match=r"in the init_cfg, prefix='backbone\.'"):
            Net(init_cfg=pretrained(path)).init_weights()

    def test_a_backbone_is_no_model(self):
        model = nn.ModuleDict(dict(backbone=Net(), head=nn.Linear(2, 2)))
        with pytest.raises(CheckpointError, match=r"backbone alone.*model\.backbone\.init_cfg="):
            load_weights(model, Net().state_dict(), "r50.pth")

    def test_batch_norms_can_start_switchable_norms(self, path):
        torch.save(Net().state_dict(), path)
        net = Net(norm=normlib.SwitchNorm2d, init_cfg=pretrained(path))
        with pytest.raises(CheckpointError, match=r"in place of 1 switchable.*bn_to_sn ="):
            net.init_weights()

    def test_ratios_of_two_statistics(self):
        state = Net(norm=lambda c: normlib.SwitchNorm(c, normalizers=("in", "ln"))).state_dict()
        with pytest.raises(CheckpointError, match=r"normalizers=\('in', 'ln'\)"):
            load_weights(Net(norm=normlib.SwitchNorm), state, "r50.pth")

    def test_nothing_is_guessed_where_nothing_tells(self):
        with pytest.raises(CheckpointError) as caught:
            load_weights(Net(), {"other": torch.ones(1)}, "r50.pth")
        assert "prefix" not in str(caught.value)
        assert "bn_to_sn" not in str(caught.value)


class TestBatchNormToSwitchNorm:
    def test_init_cfg(self, path, lines):
        weights = Net().state_dict()
        torch.save({f"backbone.{key}": value for key, value in weights.items()}, path)
        init_cfg = pretrained(path, prefix="backbone.", bn_to_sn="bn")
        net = Net(norm=normlib.SwitchNorm2d, init_cfg=init_cfg)
        net.init_weights()
        assert net.norm.choice == ("bn", "bn")
        assert torch.equal(net.norm.running_var, weights["norm.running_var"])
        assert any("made 1 of 1 switchable norms" in line and "settled" in line for line in lines)

    def test_the_top_level_key_reaches_every_init_cfg(self):
        inits = [dict(type="Pretrained", checkpoint=c) for c in "ab"]
        inits[1]["bn_to_sn"] = "bn"
        parts = dict(backbone=dict(init_cfg=inits[0]), neck=dict(init_cfg=inits[1]))
        cfg = Config(dict(bn_to_sn=0.5, model=parts))
        bn_to_sn(cfg)
        assert cfg.model.backbone.init_cfg.bn_to_sn == 0.5
        assert cfg.model.neck.init_cfg.bn_to_sn == "bn"

    @pytest.mark.parametrize("value", ["sn", 2, True, ["bn"]])
    def test_what_it_cannot_be(self, value, path):
        with pytest.raises(ConfigError, match=r"bn_to_sn = .*'uniform'"):
            load_config(TINY, {"bn_to_sn": value})
        with pytest.raises(ConfigError, match=r"init_cfg\.bn_to_sn"):
            Net(init_cfg=pretrained(path, bn_to_sn=value)).init_weights()

    def test_ratios_that_a_layer_lacks(self):
        net = Net(norm=lambda c: normlib.SwitchNorm(c, normalizers=("in", "ln")))
        with pytest.raises(ConfigError, match=r"bn_to_sn = 'bn', for checkpoint f: layer norm"):
            load_weights(net, Net().state_dict(), "f", bn_to_sn="bn")

    def test_switchable_norms_of_the_file_stay(self, lines):
        source, net = Net(norm=normlib.SwitchNorm), Net(norm=normlib.SwitchNorm)
        nn.init.normal_(source.norm.mean_weight)
        load_weights(net, source.state_dict(), "f", bn_to_sn="bn")
        assert torch.equal(net.norm.mean_weight, source.norm.mean_weight)
        assert any("0 of 1" in line for line in lines)

    def test_load_from_and_evaluation(self, tmp_path):
        work_dir = str(tmp_path / "bn")
        commands.train(TINY, work_dir=work_dir, options={"train_cfg.max_epochs": 1})
        path = f"{work_dir}/epoch_1.pth"
        wanted = commands.evaluate(TINY, path, work_dir=str(tmp_path / "a"))
        options = {"norm_cfg.type": "SSN", "bn_to_sn": "bn"}
        assert commands.evaluate(TINY, path, str(tmp_path / "b"), options=options) == wanted

        options |= {"bn_to_sn": "uniform", "load_from": path, "train_cfg.max_epochs": 1}
        commands.train(TINY, work_dir=str(tmp_path / "sn"), options=options)
        del options["bn_to_sn"]
        with pytest.raises(CheckpointError, match="bn_to_sn"):
            commands.train(TINY, work_dir=str(tmp_path / "x"), options=options)


class TestDeeperNetworks:
    """A file of a deeper network would otherwise be cut off silently."""

    class Stages(BaseModule):
        def __init__(self, blocks):
            super().__init__()
            self.layer1 = nn.Sequential(*[nn.Conv2d(3, 3, 1) for _ in range(blocks)])

    def load(self, **kwargs):
        module = nn.Sequential()
        module.add_module("backbone", self.Stages(2))
        other = nn.Sequential()
        other.add_module("backbone", self.Stages(4))
        other.add_module("head", nn.Linear(2, 2))
        load_weights(module, other.state_dict(), "deep.pth", **kwargs)

    def test_are_refused(self):
        with pytest.raises(
            CheckpointError, match=r"deeper network: 4 .*backbone\.layer1\.2\.weight"
        ):
            self.load()

    def test_may_be_allowed(self):
        self.load(allow_missing=[r"backbone\.layer1\.[23]"])


def test_a_released_encoder_with_gn_called_bn(tmp_path):
    from mmdet.models.backbones import ResNet

    gn = dict(type="GN", num_groups=8)
    kwargs = dict(depth=18, base_channels=8, norm_cfg=gn)
    weights = ResNet(**kwargs).state_dict()
    file = {f"module.{k.replace('gn', 'bn')}": torch.randn_like(v) for k, v in weights.items()}
    torch.save(file, tmp_path / "encoder.pth")
    net = ResNet(**kwargs, init_cfg=pretrained(tmp_path / "encoder.pth"))
    net.init_weights()
    for key, value in net.state_dict().items():
        assert torch.equal(value, file[f"module.{key.replace('gn', 'bn')}"]), key
