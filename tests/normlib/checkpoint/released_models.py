"""Small models with the names, shapes and arithmetic of the released ones, in float64."""

from __future__ import annotations

import torch
from torch import nn


class ReleasedNorm(nn.Module):
    """The released SN layer in evaluation: unbiased instance variances, the others from them."""

    def __init__(self, channels, using_bn=True, eps=1e-5):
        super().__init__()
        self.eps = eps
        count = 3 if using_bn else 2
        self.weight = nn.Parameter(torch.rand(1, channels, 1, 1) + 0.5)
        self.bias = nn.Parameter(torch.randn(1, channels, 1, 1) / 4)
        self.mean_weight = nn.Parameter(torch.randn(count))
        self.var_weight = nn.Parameter(torch.randn(count))
        if using_bn:
            self.register_buffer("running_mean", torch.randn(1, channels, 1) / 4)
            self.register_buffer("running_var", torch.rand(1, channels, 1) + 0.5)

    def ratios(self):
        return self.mean_weight.exp() / self.mean_weight.exp().sum(), (
            self.var_weight.exp() / self.var_weight.exp().sum()
        )

    def forward(self, x):
        places = x.flatten(2)
        means = [places.mean(2, keepdim=True)]
        variances = [places.var(2, keepdim=True, unbiased=True)]
        squares = variances[0] + means[0] ** 2
        means.append(means[0].mean(1, keepdim=True))
        variances.append(squares.mean(1, keepdim=True) - means[1] ** 2)
        if len(self.mean_weight) == 3:
            means.append(self.running_mean)
            variances.append(self.running_var)
        mean_ratios, var_ratios = self.ratios()
        mean = sum(r * m for r, m in zip(mean_ratios, means, strict=True))
        var = sum(r * v for r, v in zip(var_ratios, variances, strict=True))
        y = (places - mean) / (var + self.eps).sqrt()
        return y.reshape(x.shape) * self.weight + self.bias


class ReleasedSparseNorm(ReleasedNorm):
    """The released SSN layer: settled on one-hot parameters, or soft ones inside the simplex."""

    def __init__(self, channels, settled=True):
        super().__init__(channels)
        for name in ("mean", "var"):
            soft = torch.tensor([0.5, 0.3125, 0.1875])[torch.randperm(3)]
            logits = nn.functional.one_hot(soft.argmax(), 3).float() if settled else soft
            getattr(self, f"{name}_weight").data = logits
            self.register_buffer(f"{name}_fixed", torch.tensor([int(settled)]))
        # (0.5, 0.3125, 0.1875) is 0.22 away from the centre: a smaller radius leaves it alone.
        self.register_buffer("radius", torch.tensor([1.0 if settled else 0.125]))

    def ratios(self):
        return self.mean_weight, self.var_weight


def conv(channels_in, channels, kernel, stride=1, bias=False):
    return nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=bias)


class Bottleneck(nn.Module):
    def __init__(self, channels_in, width, stride, norm):
        super().__init__()
        self.conv1 = conv(channels_in, width, 1)
        self.sn1 = norm(width)
        self.conv2 = conv(width, width, 3, stride)
        self.sn2 = norm(width)
        self.conv3 = conv(width, 4 * width, 1)
        self.sn3 = norm(4 * width)
        self.downsample = None
        if stride > 1 or channels_in != 4 * width:
            self.downsample = nn.Sequential(
                conv(channels_in, 4 * width, 1, stride), norm(4 * width)
            )

    def forward(self, x):
        y = self.sn1(self.conv1(x)).relu()
        y = self.sn2(self.conv2(y)).relu()
        y = self.sn3(self.conv3(y))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class PreActBottleneck(nn.Module):
    def __init__(self, channels_in, width, stride, norm):
        super().__init__()
        self.sn1 = norm(channels_in)
        self.conv1 = conv(channels_in, width, 1)
        self.sn2 = norm(width)
        self.conv2 = conv(width, width, 3, stride)
        self.sn3 = norm(width)
        self.conv3 = conv(width, 4 * width, 1)
        self.downsample = None
        if stride > 1 or channels_in != 4 * width:
            self.downsample = conv(channels_in, 4 * width, 1, stride)

    def forward(self, x):
        active = self.sn1(x).relu()
        y = self.conv1(active)
        y = self.conv2(self.sn2(y).relu())
        y = self.conv3(self.sn3(y).relu())
        return y + (x if self.downsample is None else self.downsample(active))


class ReleasedResNet(nn.Module):
    """ResNet-50 of few channels; `stages` gives its maps, the call the class scores."""

    def __init__(self, norm=ReleasedNorm, classes=5, base=2, pre_act=False, pool=None):
        super().__init__()
        self.conv1 = conv(3, base, 7, 2)
        self.sn1 = norm(base)
        self.maxpool = pool or nn.MaxPool2d(3, 2, 1)
        block = PreActBottleneck if pre_act else Bottleneck
        channels = base
        for k, count in enumerate((3, 4, 6, 3)):
            blocks = []
            for i in range(count):
                stride = 2 if k > 0 and i == 0 else 1
                blocks.append(block(channels, base * 2**k, stride, norm))
                channels = 4 * base * 2**k
            setattr(self, f"layer{k + 1}", nn.Sequential(*blocks))
        if pre_act:
            self.sn_out = norm(channels)
        if classes:
            self.fc = nn.Linear(channels, classes)
        self.double().eval()

    def stages(self, x):
        x = self.maxpool(self.sn1(self.conv1(x)).relu())
        maps = []
        for k in range(4):
            x = getattr(self, f"layer{k + 1}")(x)
            maps.append(x)
        if hasattr(self, "sn_out"):
            maps[-1] = self.sn_out(x).relu()
        return maps

    def forward(self, x):
        return self.fc(self.stages(x)[-1].mean((2, 3)))


def for_detectron(state, fpn):
    """The names that Detectron.pytorch gives the weights of a ReleasedResNet."""
    start = "Conv_Body.conv_body." if fpn else "Conv_Body."
    renamed = {}
    for key, value in state.items():
        if key.startswith("layer"):
            renamed[f"{start}res{int(key[5]) + 1}{key[6:]}"] = value
        elif key.startswith("fc"):
            renamed[f"{start}classifier{key[2:]}"] = value
        else:
            renamed[f"{start}res1.{key}"] = value
    return renamed


def normed_conv(channels_in, channels, kernel):
    return nn.Sequential(conv(channels_in, channels, kernel), ReleasedNorm(channels, False))


class TopDown(nn.Module):
    def __init__(self, channels_in, channels):
        super().__init__()
        self.conv_lateral = normed_conv(channels_in, channels, 1)


class ConvBody(nn.Module):
    """ResNet and FPN with SN of IN and LN."""

    def __init__(self, base, channels):
        super().__init__()
        widths = [4 * base * 2**k for k in range(4)]
        self.conv_top = normed_conv(widths[3], channels, 1)
        self.topdown_lateral_modules = nn.ModuleList(
            TopDown(width, channels) for width in widths[2::-1]
        )
        self.posthoc_modules = nn.ModuleList(normed_conv(channels, channels, 3) for _ in range(4))
        self.conv_body = ReleasedResNet(lambda c: ReleasedNorm(c, False), 0, base)

    def forward(self, x):
        """Maps from stride 4 on, and one of stride 64."""
        maps = self.conv_body.stages(x)[::-1]
        inner = [self.conv_top(maps[0])]
        for module, lateral in zip(self.topdown_lateral_modules, maps[1:], strict=True):
            above = inner[-1].repeat_interleave(2, 2).repeat_interleave(2, 3)
            inner.append(module.conv_lateral(lateral) + above)
        outer = [m(x) for m, x in zip(self.posthoc_modules, inner, strict=True)]
        return [*outer[::-1], outer[0][:, :, ::2, ::2]]


def stacked(channels, count):
    layers = []
    for _ in range(count):
        layers += [*normed_conv(channels, channels, 3), nn.ReLU()]
    return nn.Sequential(*layers)


class ReleasedMaskRCNN(nn.Module):
    """Mask R-CNN of Detectron.pytorch, whose class 0 is the background, up to its outputs."""

    def __init__(self, base=2, channels=4, fc=6, classes=3, anchors=3):
        super().__init__()
        self.Conv_Body = ConvBody(base, channels)
        self.RPN = nn.ModuleDict(
            dict(
                FPN_RPN_conv=conv(channels, channels, 3, bias=True),
                FPN_RPN_cls_score=conv(channels, anchors, 1, bias=True),
                FPN_RPN_bbox_pred=conv(channels, 4 * anchors, 1, bias=True),
            )
        )
        self.Box_Head = nn.ModuleDict(
            dict(convs=stacked(channels, 4), fc=nn.Linear(channels * 49, fc))
        )
        self.Box_Outs = nn.ModuleDict(
            dict(
                cls_score=nn.Linear(fc, classes + 1),
                bbox_pred=nn.Linear(fc, 4 * (classes + 1)),
            )
        )
        self.Mask_Head = nn.ModuleDict(
            dict(
                conv_fcn=stacked(channels, 4),
                upconv=nn.ConvTranspose2d(channels, channels, 2, 2),
            )
        )
        self.Mask_Outs = nn.ModuleDict(dict(classify=conv(channels, classes + 1, 1, bias=True)))
        self.double().eval()

    def state_dict(self):
        """With the names of the ResNet in Detectron.pytorch."""
        state = super().state_dict()
        start = "Conv_Body.conv_body."
        body = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
        rest = {k: v for k, v in state.items() if not k.startswith(start)}
        return {**rest, **for_detectron(body, fpn=True)}

    def proposals(self, x):
        hidden = self.RPN.FPN_RPN_conv(x).relu()
        return self.RPN.FPN_RPN_cls_score(hidden), self.RPN.FPN_RPN_bbox_pred(hidden)

    def boxes(self, features):
        hidden = self.Box_Head.fc(self.Box_Head.convs(features).flatten(1)).relu()
        return self.Box_Outs.cls_score(hidden), self.Box_Outs.bbox_pred(hidden)

    def masks(self, features):
        return self.Mask_Outs.classify(
            self.Mask_Head.upconv(self.Mask_Head.conv_fcn(features)).relu()
        )


class ReleasedDecoder(nn.Module):
    """C1 with deep supervision, up to its logits."""

    def __init__(self, channels, classes=4):
        super().__init__()
        self.cbr = nn.Sequential(*normed_sn(channels, channels // 4))
        self.cbr_deepsup = nn.Sequential(*normed_sn(channels // 2, channels // 4))
        self.conv_last = conv(channels // 4, classes, 1, bias=True)
        self.conv_last_deepsup = conv(channels // 4, classes, 1, bias=True)
        self.double().eval()

    def forward(self, maps):
        return self.conv_last(self.cbr(maps[-1])), self.conv_last_deepsup(
            self.cbr_deepsup(maps[-2])
        )


def normed_sn(channels_in, channels):
    return conv(channels_in, channels, 3), ReleasedNorm(channels), nn.ReLU()
