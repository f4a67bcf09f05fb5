"""IR-ResNet: residual networks for aligned faces of 112 pixels."""

from __future__ import annotations

from typing import Any

from mmcv.cnn import build_conv_layer, build_norm_layer
from mmengine.model import BaseModule, Sequential
from mmengine.registry import MODELS
from torch import Tensor, nn

from tasks.face.errors import ModelError

from .squeeze_excitation import SqueezeExcitation

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3)}
_STYLES = ("sn", "arcface")


class IRBlock(BaseModule):
    """Norm, 3x3 convolution, norm, PReLU, 3x3 convolution, norm, and a shortcut.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: Of the second convolution and of the shortcut.
        use_se: Whether squeeze-and-excitation goes before the sum.
        style: See :class:`IRResNet`.
        conv_cfg: Config of the convolutions.
        norm_cfg: Config of the norms.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        use_se: bool,
        style: str,
        conv_cfg: dict[str, Any] | None,
        norm_cfg: dict[str, Any],
    ) -> None:
        super().__init__()
        self.norm_names = []
        for number, width in enumerate((in_channels, channels, channels), 1):
            name, norm = build_norm_layer(norm_cfg, width, postfix=number)
            self.add_module(name, norm)
            self.norm_names.append(name)
        self.conv1 = build_conv_layer(conv_cfg, in_channels, channels, 3, padding=1, bias=False)
        self.conv2 = build_conv_layer(
            conv_cfg, channels, channels, 3, stride=stride, padding=1, bias=False
        )
        self.prelu = nn.PReLU(channels if style == "arcface" else 1)
        self.prelu_after_sum = style == "sn"
        self.se = SqueezeExcitation(channels) if use_se else None
        self.downsample = None
        if stride != 1 or in_channels != channels:
            shortcut = build_conv_layer(conv_cfg, in_channels, channels, 1, bias=False)
            self.stride = stride
            self.downsample = Sequential(shortcut, build_norm_layer(norm_cfg, channels)[1])

    def forward(self, x: Tensor) -> Tensor:
        """Map of shape (N, channels, H / stride, W / stride) of one of (N, in_channels, H, W)."""
        norm1, norm2, norm3 = (getattr(self, name) for name in self.norm_names)
        shortcut = x
        if self.downsample is not None:
            # A 1x1 convolution of stride 2 reads the same. On CPUs that of PyTorch 2.11 writes
            # beyond its memory, backward on channels-last maps of fewer channels than a vector has.
            shortcut = self.downsample(x[:, :, :: self.stride, :: self.stride])
        x = self.prelu(norm2(self.conv1(norm1(x))))
        x = norm3(self.conv2(x))
        if self.se is not None:
            x = self.se(x)
        x = x + shortcut
        return self.prelu(x) if self.prelu_after_sum else x


@MODELS.register_module()
class IRResNet(BaseModule):
    """IR-ResNet of ArcFace (Deng et al., arXiv 1801.07698), with a 3x3 stem of stride 1.

    All four stages halve the map: 112 pixels become 7. Names are those of mmdet's ResNet: `conv1`,
    `layer1.0.conv1`; a norm is named by its layer, such as `bn1` or `sn1`.

    Args:
        depth: 18, 34, 50 or 100. The last two have (3, 4, 14, 3) and (3, 13, 30, 3) blocks.
        in_channels: Channels of the images.
        base_channels: Channels of the stem and the first stage; each stage doubles them.
        use_se: Whether blocks have squeeze-and-excitation.
        style: `'sn'` as in the released SN models: PReLU with one slope a block, after the second
            norm and after the sum. `'arcface'` as in insightface's: a slope a channel, after the
            second norm alone.
        conv_cfg: Config of the convolutions.
        norm_cfg: Config of the norms.
        init_cfg: Initial weights; by default Kaiming's.

    Raises:
        ModelError: An argument has a value that is unknown.
    """

    def __init__(
        self,
        depth: int,
        in_channels: int = 3,
        base_channels: int = 64,
        use_se: bool = False,
        style: str = "sn",
        conv_cfg: dict[str, Any] | None = None,
        norm_cfg: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type="Kaiming", layer="Conv2d", mode="fan_out"))
        if depth not in _BLOCKS:
            raise ModelError(f"model.backbone.depth is {depth}; it is one of {sorted(_BLOCKS)}")
        if style not in _STYLES:
            raise ModelError(f"model.backbone.style is {style!r}; it is one of {_STYLES}")
        if base_channels < 1:
            raise ModelError(f"model.backbone.base_channels is {base_channels}; give 1 or more")
        norm_cfg = norm_cfg or dict(type="BN")
        self.conv1 = build_conv_layer(
            conv_cfg, in_channels, base_channels, 3, padding=1, bias=False
        )
        self.norm1_name, norm1 = build_norm_layer(norm_cfg, base_channels, postfix=1)
        self.add_module(self.norm1_name, norm1)
        self.prelu = nn.PReLU(base_channels if style == "arcface" else 1)
        before = base_channels
        for stage, count in enumerate(_BLOCKS[depth]):
            width = base_channels * 2**stage
            blocks = []
            for k in range(count):
                stride = 2 if k == 0 else 1
                blocks.append(IRBlock(before, width, stride, use_se, style, conv_cfg, norm_cfg))
                before = width
            self.add_module(f"layer{stage + 1}", Sequential(*blocks))

    def forward(self, x: Tensor) -> Tensor:
        """Map of shape (N, 8 * base_channels, H / 16, W / 16) of images (N, in_channels, H, W)."""
        x = self.prelu(getattr(self, self.norm1_name)(self.conv1(x)))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return x
