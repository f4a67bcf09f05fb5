"""Heads whose pooled branch, of one pixel, has a norm of its own."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn

import normlib.openmmlab  # noqa: F401  registers the norms
import tasks.segmentation  # noqa: F401  registers the heads
from normlib import SwitchNorm, switch_norm_layers

HEADS = ("PoolNormPSPHead", "PoolNormASPPHead")
SWITCHABLE = ("SN", "SyncSN", "SSN", "SyncSSN")


def build(kind: str, norm: str = "SN", **options) -> nn.Module:
    init_default_scope("mmseg")
    torch.manual_seed(0)
    norm_cfg = {"type": norm, "num_groups": 4} if norm == "GN" else {"type": norm}
    head = MODELS.build(
        {
            "type": kind,
            "in_channels": 8,
            "channels": 8,
            "num_classes": 3,
            "dropout_ratio": 0,
            "norm_cfg": norm_cfg,
            **options,
        }
    )
    head.init_weights()
    return head


def pooled(head: nn.Module) -> nn.Module:
    """The convolution, with norm and activation, that follows global pooling."""
    branch = head.psp_modules[0] if hasattr(head, "psp_modules") else head.image_pool
    assert isinstance(branch[0], nn.AdaptiveAvgPool2d)
    assert branch[0].output_size == 1
    return branch[1]


@pytest.mark.parametrize("norm", SWITCHABLE)
@pytest.mark.parametrize("kind", HEADS)
def test_no_switchable_norm_after_global_pooling_by_default(kind, norm):
    head = build(kind, norm)
    assert not pooled(head).with_norm
    assert pooled(head).conv.bias is not None
    assert any(switch_norm_layers(head))


@pytest.mark.parametrize(("norm", "layer"), [("BN", nn.BatchNorm2d), ("GN", nn.GroupNorm)])
@pytest.mark.parametrize("kind", HEADS)
def test_other_norms_stay_there(kind, norm, layer):
    head = build(kind, norm)
    assert isinstance(pooled(head).norm, layer)
    assert pooled(head).conv.bias is None


@pytest.mark.parametrize("kind", HEADS)
def test_the_norm_there_can_be_chosen(kind):
    assert isinstance(pooled(build(kind, pool_norm_cfg="same")).norm, SwitchNorm)
    assert isinstance(pooled(build(kind, pool_norm_cfg={"type": "BN"})).norm, nn.BatchNorm2d)
    assert not pooled(build(kind, "BN", pool_norm_cfg=None)).with_norm


@pytest.mark.parametrize("pool_norm_cfg", ["none", {"type": "QN"}, {}])
@pytest.mark.parametrize("kind", HEADS)
def test_what_is_no_norm_is_an_error(kind, pool_norm_cfg):
    with pytest.raises(ValueError, match=r"pool_norm_cfg is .*; write 'auto', 'same', None for no"):
        build(kind, pool_norm_cfg=pool_norm_cfg)


def test_branches_of_more_than_one_pixel_keep_the_norm():
    head = build("PoolNormPSPHead")
    for branch in list(head.psp_modules)[1:]:
        assert isinstance(branch[1].norm, SwitchNorm)


def test_scale_one_is_found_wherever_it_stands():
    head = build("PoolNormPSPHead", pool_scales=(3, 1))
    assert isinstance(head.psp_modules[0][1].norm, SwitchNorm)
    assert not head.psp_modules[1][1].with_norm


@pytest.mark.parametrize("pool_norm_cfg", ["auto", "same"])
@pytest.mark.parametrize("norm", SWITCHABLE)
@pytest.mark.parametrize("kind", HEADS)
def test_outputs_and_gradients_are_finite(kind, norm, pool_norm_cfg):
    """Also with SN on one pixel of one image, where every variance but the layer's is zero."""
    head = build(kind, norm, pool_norm_cfg=pool_norm_cfg)
    for mode in (True, False):
        head.train(mode)
        x = torch.randn(1, 8, 12, 12, requires_grad=True)
        y = head([x])
        assert y.shape == (1, 3, 12, 12)
        y.square().sum().backward()
        assert torch.isfinite(y).all()
        assert torch.isfinite(x.grad).all()
        for parameter in head.parameters():
            assert parameter.grad is None or torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("kind", HEADS)
def test_the_pooled_branch_tells_images_apart(kind):
    """What instance statistics alone could not do: of one pixel they leave nothing."""
    head = build(kind).eval()
    branch = head.psp_modules[0] if kind == "PoolNormPSPHead" else head.image_pool
    x = torch.rand(2, 8, 5, 5) * torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    y = branch(x)
    assert (y[0] - y[1]).abs().max() > 1e-2
