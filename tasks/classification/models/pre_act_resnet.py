"""ResNet v2: norm and ReLU before each convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import build_conv_layer, build_norm_layer
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from normlib import SwitchNorm

from .errors import ModelError

_BLOCKS = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
_EXPANSION = {"basic": 1, "bottleneck": 4}


class _NormThenReLU(BaseModule):
    """A module whose norms are all followed by its `relu`."""

    relu: nn.Module

    def norms_before_relu(self) -> list[nn.Module]:
        """The norms."""
        raise NotImplementedError

    def fuse_norm_activation(self) -> int:
        """Have the norms do the ReLU, where all of them can; returns how many norms that is."""
        norms = self.norms_before_relu()
        plain = [
            isinstance(norm, SwitchNorm) and norm.activation is None and not norm.dropout
            for norm in norms
        ]
        if not all(plain):
            return 0
        for norm in norms:
            norm.activation = "relu"
        self.relu = nn.Identity()
        return len(norms)


class PreActBlock(_NormThenReLU):
    """Two 3x3 convolutions, or 1x1, 3x3 and 1x1, each after a norm and ReLU, and a shortcut.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the 3x3 convolutions.
        kind: `'basic'` or `'bottleneck'`.
        stride: Of the first 3x3 convolution and of the shortcut.
        conv_cfg: Config of the convolutions.
        norm_cfg: Config of the norms.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kind: str,
        stride: int,
        conv_cfg: dict[str, Any] | None,
        norm_cfg: dict[str, Any],
    ) -> None:
        super().__init__()
        out_channels = channels * _EXPANSION[kind]
        # kernel size, stride, input and output channels
        if kind == "basic":
            layers = [(3, stride, in_channels, channels), (3, 1, channels, channels)]
        else:
            layers = [
                (1, 1, in_channels, channels),
                (3, stride, channels, channels),
                (1, 1, channels, out_channels),
            ]
        self.names = []
        for k, (kernel, step, before, after) in enumerate(layers, 1):
            name, norm = build_norm_layer(norm_cfg, before, postfix=k)
            conv = build_conv_layer(
                conv_cfg, before, after, kernel, stride=step, padding=kernel // 2, bias=False
            )
            self.add_module(name, norm)
            self.add_module(f"conv{k}", conv)
            self.names.append((name, f"conv{k}"))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            shortcut = build_conv_layer(
                conv_cfg, in_channels, out_channels, 1, stride=stride, bias=False
            )
            self.downsample = nn.Sequential(shortcut)

    def norms_before_relu(self) -> list[nn.Module]:
        """All norms of the block."""
        return [getattr(self, norm) for norm, _ in self.names]

    def forward(self, x: Tensor) -> Tensor:
        """The shortcut branches off after the first norm and ReLU where it has a convolution."""
        shortcut = x
        for k, (norm, conv) in enumerate(self.names):
            x = self.relu(getattr(self, norm)(x))
            if k == 0 and self.downsample is not None:
                shortcut = self.downsample(x)
            x = getattr(self, conv)(x)
        return x + shortcut


@MODELS.register_module()
class PreActResNet(_NormThenReLU):
    """ResNet v2 (He et al., arXiv 1603.05027), with a norm in the stem as the released models.

    Names follow mmdet's ResNet: `conv1`, `layer1.0.conv1`; a norm is named by its layer, such as
    `bn1` or `sn1`, and the last one `bn_out` or `sn_out`.

    Args:
        depth: 18, 34, 50, 101 or 152.
        in_channels: Channels of the images.
        base_channels: Channels of the stem.
        out_indices: Stages, from 0, whose maps are returned; the last stage's map is normalised.
        conv_cfg: Config of the convolutions.
        norm_cfg: Config of the norms.
        init_cfg: Initial weights; by default Kaiming's.
    """

    def __init__(
        self,
        depth: int,
        in_channels: int = 3,
        base_channels: int = 64,
        out_indices: Sequence[int] = (3,),
        conv_cfg: dict[str, Any] | None = None,
        norm_cfg: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type="Kaiming", layer="Conv2d"))
        if depth not in _BLOCKS:
            raise ModelError(f"model.backbone.depth is {depth}; it is one of {sorted(_BLOCKS)}")
        norm_cfg = norm_cfg or dict(type="BN")
        kind, repeats = _BLOCKS[depth]
        self.out_indices = tuple(out_indices)
        self.conv1 = build_conv_layer(
            conv_cfg, in_channels, base_channels, 7, stride=2, padding=3, bias=False
        )
        self.norm1_name, norm1 = build_norm_layer(norm_cfg, base_channels, postfix=1)
        self.add_module(self.norm1_name, norm1)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        channels = base_channels
        for k, count in enumerate(repeats):
            width, blocks = base_channels * 2**k, []
            for i in range(count):
                stride = 2 if k > 0 and i == 0 else 1
                blocks.append(PreActBlock(channels, width, kind, stride, conv_cfg, norm_cfg))
                channels = width * _EXPANSION[kind]
            self.add_module(f"layer{k + 1}", nn.Sequential(*blocks))
        self.norm_out_name, norm_out = build_norm_layer(norm_cfg, channels, postfix="_out")
        self.add_module(self.norm_out_name, norm_out)

    def norms_before_relu(self) -> list[nn.Module]:
        """The norm of the stem and the last one."""
        return [getattr(self, name) for name in (self.norm1_name, self.norm_out_name)]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps of the stages in `out_indices`."""
        x = self.maxpool(self.relu(getattr(self, self.norm1_name)(self.conv1(x))))
        maps = []
        for k in range(4):
            x = getattr(self, f"layer{k + 1}")(x)
            last = k == 3
            if k in self.out_indices:
                maps.append(self.relu(getattr(self, self.norm_out_name)(x)) if last else x)
        return tuple(maps)
