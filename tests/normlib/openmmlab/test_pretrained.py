"""Weights that do not fit are errors that list what does not."""

from __future__ import annotations

import logging

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import nn

import normlib
from normlib.openmmlab.errors import CheckpointError, ConfigError
from normlib.openmmlab.pretrained import (
    allow_missing_weights,
    check_weight_files,
    load_weights,
    state_dict_of,
)


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


def test_unused_weights_are_one_line_of_the_log():
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    net = Net()
    weights = {**net.state_dict(), **{f"old.{i}": torch.ones(1) for i in range(7)}}
    load_weights(net, weights, "r50.pth")
    logger.removeHandler(handler)
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
