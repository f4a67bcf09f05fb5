"""A small face model with the names, shapes and arithmetic of the released ones, in float64."""

from __future__ import annotations

from torch import nn

from tests.normlib.checkpoint.released_models import conv


class SqueezeExcitation(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.fc1 = conv(channels, channels // 16, 1)
        self.pelu = nn.PReLU()
        self.fc2 = conv(channels // 16, channels, 1)

    def forward(self, x):
        return x * self.fc2(self.pelu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()


class Block(nn.Module):
    def __init__(self, channels_in, channels, stride, use_se, norm):
        super().__init__()
        self.norm1 = norm(channels_in)
        self.conv1 = conv(channels_in, channels, 3)
        self.norm2 = norm(channels)
        self.conv2 = conv(channels, channels, 3, stride)
        self.norm3 = norm(channels)
        self.prelu = nn.PReLU()
        self.se = SqueezeExcitation(channels) if use_se else nn.Identity()
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(conv(channels_in, channels, 1, stride), norm(channels))

    def forward(self, x):
        y = self.prelu(self.norm2(self.conv1(self.norm1(x))))
        y = self.se(self.norm3(self.conv2(y)))
        return self.prelu(y + (x if self.downsample is None else self.downsample(x)))


class BaseModel(nn.Module):
    def __init__(self, base, size, length, use_se, norm):
        super().__init__()
        self.conv1 = conv(3, base, 3)
        self.norm1 = norm(base)
        self.prelu = nn.PReLU()
        channels = base
        for k in range(4):
            width = base * 2**k
            blocks = [
                Block(channels, width, 2, use_se, norm),
                Block(width, width, 1, use_se, norm),
            ]
            setattr(self, f"layer{k + 1}", nn.Sequential(*blocks))
            channels = width
        self.output_layer = nn.Sequential(
            norm(channels),
            nn.Dropout(0.4),
            nn.Flatten(),
            nn.Linear(channels * (size // 16) ** 2, length),
            nn.BatchNorm1d(length),
        )

    def forward(self, x):
        x = self.prelu(self.norm1(self.conv1(x)))
        for k in range(4):
            x = getattr(self, f"layer{k + 1}")(x)
        return nn.functional.normalize(self.output_layer(x))


class ReleasedFace(nn.Module):
    """IR-ResNet-18 of few channels; a call gives the embeddings."""

    def __init__(self, norm, base=16, size=32, length=6, classes=9, use_se=False):
        super().__init__()
        self.basemodel = BaseModel(base, size, length, use_se, norm)
        self.head = nn.Linear(length, classes, bias=False)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.25)
                nn.init.normal_(module.running_mean, std=0.25)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
            elif isinstance(module, nn.PReLU):
                nn.init.uniform_(module.weight, 0.1, 0.4)
        self.double().eval()

    def forward(self, x):
        return self.basemodel(x)
