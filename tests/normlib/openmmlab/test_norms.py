"""Switchable norms by their registry names, in the hands of mmcv, mmdet and mmengine."""

from __future__ import annotations

import pytest
import torch
from mmcv.cnn import ConvModule, build_norm_layer
from mmcv.cnn.utils import fuse_conv_bn
from mmengine.model import convert_sync_batchnorm, revert_sync_batchnorm
from mmengine.registry import MODELS
from torch import nn

import normlib
import normlib.openmmlab

FAMILIES = {
    "SN": "SwitchNorm",
    "SyncSN": "SyncSwitchNorm",
    "SSN": "SparseSwitchNorm",
    "SyncSSN": "SyncSparseSwitchNorm",
}
CLASSES = {
    name + dims: getattr(normlib, family + dims)
    for name, family in FAMILIES.items()
    for dims in ("", "1d", "2d", "3d")
}


@pytest.mark.parametrize("scope", [None, "mmdet", "mmseg"])
@pytest.mark.parametrize("name", CLASSES)
def test_every_name_builds_in_every_scope(name, scope):
    with MODELS.switch_scope_and_registry(scope):
        attribute, layer = build_norm_layer(dict(type=name, eps=1e-3), 8, postfix=1)
    assert attribute == "sn1"
    assert type(layer) is CLASSES[name]
    assert (layer.num_features, layer.eps) == (8, 1e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_arguments_reach_the_layer(name):
    cfg = dict(type=name, momentum=0.003, normalizers=("in", "ln"), requires_grad=False)
    layer = build_norm_layer(cfg, 8)[1]
    assert (layer.momentum, layer.normalizers) == (0.003, ("in", "ln"))
    parameters = dict(layer.named_parameters())
    assert set(parameters) == {"weight", "bias", "mean_weight", "var_weight"}
    assert not any(p.requires_grad for p in parameters.values())
    assert all(p.requires_grad for p in build_norm_layer(dict(type=name), 8)[1].parameters())


def test_resnet_names_the_layers_and_zero_initialises_the_last_of_each_block():
    cfg = dict(type="ResNet", depth=18, base_channels=8, norm_cfg=dict(type="SN"))
    with MODELS.switch_scope_and_registry("mmdet") as registry:
        net = registry.build(cfg)
    net.init_weights()
    assert isinstance(net.sn1, normlib.SwitchNorm)
    for stage in (net.layer1, net.layer4):
        for block in stage:
            assert block.sn1.weight.eq(1).all()
            assert block.sn2.weight.eq(0).all()
    assert sum(isinstance(m, normlib.SwitchNorm) for m in net.modules()) == 20
    assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())


def test_conv_module_drops_the_bias_and_initialises_the_norm():
    module = ConvModule(3, 8, 3, norm_cfg=dict(type="SN"))
    assert module.conv.bias is None
    nn.init.constant_(module.sn.weight, 5)
    nn.init.constant_(module.sn.bias, 5)
    module.init_weights()
    assert module.norm.weight.eq(1).all()
    assert module.norm.bias.eq(0).all()


def test_conv_module_normalises_where_its_order_says():
    module = ConvModule(3, 8, 1, norm_cfg=dict(type="SN"), order=("norm", "conv", "act"))
    assert module.norm.num_features == 3
    x = torch.randn(2, 3, 4, 4) * 7 + 3
    torch.testing.assert_close(module(x), module.conv(module.norm(x)).relu())


def batch_and_switch_norm(switch: str, batch: str) -> nn.Sequential:
    return nn.Sequential(
        ConvModule(3, 4, 1, norm_cfg=dict(type=batch)),
        ConvModule(4, 4, 1, norm_cfg=dict(type=switch)),
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_what_mmengine_does_to_sync_bn_leaves_it_alone(name):
    reverted = revert_sync_batchnorm(batch_and_switch_norm(name, "SyncBN"))
    assert not isinstance(reverted[0].norm, nn.SyncBatchNorm)
    assert type(reverted[1].norm) is CLASSES[name]
    converted = convert_sync_batchnorm(batch_and_switch_norm(name, "BN"))
    assert isinstance(converted[0].norm, nn.SyncBatchNorm)
    assert type(converted[1].norm) is CLASSES[name]


@pytest.mark.parametrize("name", FAMILIES)
def test_folding_batch_norm_into_convolutions_leaves_it_alone(name):
    net = batch_and_switch_norm(name, "BN")
    x = torch.randn(2, 3, 5, 5) + 1
    net(x)
    expected = net.eval()(x)
    folded = fuse_conv_bn(net)
    assert isinstance(folded[0].norm, nn.Identity)
    assert type(folded[1].norm) is CLASSES[name]
    torch.testing.assert_close(folded(x), expected)
