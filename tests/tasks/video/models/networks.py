"""Small I3D ResNets, and the 2-D networks that they come from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

import normlib.openmmlab  # noqa: F401

# isort: split
from mmdet.models.backbones import ResNet

from normlib import SparseSwitchNorm, SwitchNorm, SyncSwitchNorm
from tasks.video.models import I3DResNet, TimeConv3d

NORMS = {
    "BN": nn.BatchNorm3d,
    "GN": nn.GroupNorm,
    "SN": SwitchNorm,
    "SyncSN": SyncSwitchNorm,
    "SSN": SparseSwitchNorm,
}


def norm_cfg(name: str) -> dict:
    return {"type": name} | ({"num_groups": 4} if name == "GN" else {})


def small(name: str = "SN", **kwargs) -> I3DResNet:
    return I3DResNet(18, base_channels=8, norm_cfg=norm_cfg(name), **kwargs)


def images(name: str = "SN", **kwargs) -> ResNet:
    """A 2-D network that has been trained a little: no statistic and no ratio is as it began."""
    network = ResNet(18, base_channels=8, norm_cfg=norm_cfg(name), norm_eval=False, **kwargs)
    generator = torch.Generator().manual_seed(1)
    for key, value in network.state_dict().items():
        if value.is_floating_point() and value.dim() == 1:
            noise = 0.3 * torch.randn(value.shape, generator=generator)
            value.copy_(noise.exp() if key.endswith(("weight", "var")) else noise)
    return network


def with_equal_frames_outside(network: nn.Module) -> None:
    """Let convolutions over time see frames like those of the video where they see zeros."""
    for module in network.modules():
        if isinstance(module, TimeConv3d):
            frames = module.padding[0]
            module.padding = (0, *module.padding[1:])
            module.register_forward_pre_hook(
                lambda _, x, n=frames: (F.pad(x[0], (0, 0, 0, 0, n, n), mode="replicate"),)
            )
