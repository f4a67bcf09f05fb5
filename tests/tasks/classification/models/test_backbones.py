from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import nn

import tasks.classification  # noqa: F401
from normlib import SwitchNorm
from normlib.openmmlab.fused_blocks import fuse_norm_activation
from tasks.classification.models.errors import ModelError


def randomised(model: nn.Module) -> nn.Module:
    """With statistics and gammas that are neither 0 nor 1."""
    for module in model.modules():
        if isinstance(module, (SwitchNorm, nn.BatchNorm2d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval().double()


class TestPreActResNet:
    @staticmethod
    def plain(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """He et al., arXiv 1603.05027, written from the state dict, for BN in evaluation."""
        s = model.state_dict()

        def norm_relu(name, x):
            names = ("running_mean", "running_var", "weight", "bias")
            return F.batch_norm(x, *(s[f"{name}.{n}"] for n in names), eps=1e-5).relu()

        x = norm_relu("bn1", F.conv2d(x, s["conv1.weight"], stride=2, padding=3))
        x = F.max_pool2d(x, 3, 2, 1)
        for stage in range(1, 5):
            index = 0
            while f"layer{stage}.{index}.conv1.weight" in s:
                name = f"layer{stage}.{index}."
                stride = 2 if stage > 1 and index == 0 else 1
                bottleneck = f"{name}conv3.weight" in s
                a = norm_relu(f"{name}bn1", x)
                shortcut = x
                if f"{name}downsample.0.weight" in s:
                    shortcut = F.conv2d(a, s[f"{name}downsample.0.weight"], stride=stride)
                if bottleneck:
                    h = F.conv2d(a, s[f"{name}conv1.weight"])
                    h = norm_relu(f"{name}bn2", h)
                    h = F.conv2d(h, s[f"{name}conv2.weight"], stride=stride, padding=1)
                    h = F.conv2d(norm_relu(f"{name}bn3", h), s[f"{name}conv3.weight"])
                else:
                    h = F.conv2d(a, s[f"{name}conv1.weight"], stride=stride, padding=1)
                    h = norm_relu(f"{name}bn2", h)
                    h = F.conv2d(h, s[f"{name}conv2.weight"], padding=1)
                x = shortcut + h
                index += 1
        return norm_relu("bn_out", x)

    @pytest.mark.parametrize("depth", [18, 50])
    def test_against_the_formula(self, depth):
        model = MODELS.build(dict(type="PreActResNet", depth=depth, base_channels=8))
        model.init_weights()
        randomised(model)
        x = torch.randn(2, 3, 40, 40, dtype=torch.float64)
        (y,) = model(x)
        assert y.shape == (2, 64 if depth == 18 else 256, 2, 2)
        torch.testing.assert_close(y, self.plain(model, x))

    @pytest.mark.parametrize(("depth", "blocks"), [(34, 16), (50, 16), (101, 33), (152, 50)])
    def test_depths(self, depth, blocks):
        with torch.device("meta"):
            model = MODELS.build(dict(type="PreActResNet", depth=depth, norm_cfg=dict(type="SN")))
        keys = model.state_dict().keys()
        assert sum(key.endswith(".conv2.weight") for key in keys) == blocks
        convolutions = sum(isinstance(m, nn.Conv2d) for m in model.modules())
        shortcuts = sum(".downsample." in key for key in keys)
        assert convolutions - shortcuts + 1 == depth
        assert {"sn1.mean_weight", "layer2.0.downsample.0.weight", "sn_out.weight"} <= set(keys)

    def test_every_stage_can_be_asked_for(self):
        model = MODELS.build(
            dict(type="PreActResNet", depth=18, base_channels=8, out_indices=(0, 2, 3))
        )
        shapes = [tuple(y.shape) for y in model(torch.randn(1, 3, 64, 64))]
        assert shapes == [(1, 8, 16, 16), (1, 32, 4, 4), (1, 64, 2, 2)]

    def test_its_norms_can_do_the_relu(self):
        model = MODELS.build(
            dict(type="PreActResNet", depth=50, base_channels=8, norm_cfg=dict(type="SN"))
        ).double()
        fused = copy.deepcopy(model)
        assert fuse_norm_activation(fused) == 1 + 3 * 16 + 1
        assert fuse_norm_activation(fused) == 0
        assert not any(isinstance(m, nn.ReLU) for m in fused.modules())
        x = torch.randn(2, 3, 40, 40, dtype=torch.float64)
        for one in (model, fused):
            one(x)[0].square().sum().backward()
        torch.testing.assert_close(fused.eval()(x)[0], model.eval()(x)[0])
        gradients = dict(fused.named_parameters())
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(gradients[name].grad, parameter.grad, msg=name)

    def test_batch_norms_are_left_alone(self):
        model = MODELS.build(dict(type="PreActResNet", depth=18, base_channels=8))
        assert fuse_norm_activation(model) == 0


class TestStemPoolResNet:
    def build(self, **kwargs):
        torch.manual_seed(0)
        model = MODELS.build(
            dict(type="StemPoolResNet", depth=18, base_channels=8, norm_eval=False, **kwargs)
        )
        model.eval()  # mmdet's returns None
        return model

    def test_pad_is_the_plain_resnet(self):
        torch.manual_seed(0)
        plain = MODELS.build(dict(type="mmdet.ResNet", depth=18, base_channels=8))
        plain.eval()
        x = torch.randn(1, 3, 64, 64)
        for a, b in zip(plain(x), self.build()(x), strict=True):
            assert torch.equal(a, b)

    def test_ceil_pools_without_padding(self):
        model = self.build(stem_pool="ceil")
        x = torch.randn(1, 8, 32, 32)
        y = model.maxpool(x)
        assert y.shape == (1, 8, 16, 16)
        assert y[0, 0, 0, 0] == x[0, 0, :3, :3].max()
        assert y[0, 0, 15, 15] == x[0, 0, 30:, 30:].max()
        assert model.state_dict().keys() == self.build().state_dict().keys()

    def test_mistakes(self):
        with pytest.raises(ModelError, match=r"stem_pool is 'valid'; it is 'pad' or 'ceil'"):
            self.build(stem_pool="valid")
