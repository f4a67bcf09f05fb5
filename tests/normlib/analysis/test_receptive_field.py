"""Receptive fields against values worked out by hand, and what following them leaves alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint
from torchvision import models
from torchvision.ops import roi_align

import normlib
from normlib.analysis.receptive_field import FieldTracker, receptive_fields

IMAGE = (2, 3, 64, 64)


def norm(channels: int = 4) -> nn.Module:
    return normlib.SwitchNorm(channels)


def fields(model: nn.Module, *shape: int) -> list[tuple[int, int] | None]:
    return list(receptive_fields(model, lambda: model(torch.randn(shape or IMAGE))).values())


def after(*modules: nn.Module, shape=IMAGE) -> tuple[int, int] | None:
    """Field and stride at a norm behind some modules."""
    return fields(nn.Sequential(*modules, norm()), *shape)[-1]


class Merge(nn.Module):
    """Two ways from a stem of field 3 and stride 2, joined by a function."""

    def __init__(self, join):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.short, self.long = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.join, self.norm = join, norm()

    def forward(self, x):
        x = self.stem(x)
        return self.norm(self.join(self.short(x), self.long(x)))


class TestOperators:
    @pytest.mark.parametrize(
        ("modules", "expected"),
        [
            ([nn.Conv2d(3, 4, 1)], (1, 1)),
            ([nn.Conv2d(3, 4, 7, 2, 3)], (7, 2)),
            ([nn.Conv2d(3, 4, 3, dilation=4)], (9, 1)),
            ([nn.Conv2d(3, 4, (1, 7)), nn.Conv2d(4, 4, (3, 1))], (7, 1)),
            ([nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 3, dilation=2)], (3 + 4 * 2, 2)),
            ([nn.Conv2d(3, 4, 7, 2, 3), nn.MaxPool2d(3, 2, 1)], (11, 4)),
            ([nn.Conv2d(3, 4, 3, 2), nn.AvgPool2d(2)], (5, 4)),
            ([nn.Conv2d(3, 4, 3, 2), nn.ReLU(inplace=True), nn.Dropout2d()], (3, 2)),
            ([nn.Conv2d(3, 4, 3, 4), nn.Upsample(scale_factor=2)], (3, 2)),
            ([nn.Conv2d(3, 4, 3, 4), nn.Upsample(scale_factor=2, mode="bilinear")], (7, 2)),
            # Two positions apart, of which each position of the output meets two.
            ([nn.Conv2d(3, 4, 3, 2), nn.ConvTranspose2d(4, 4, 4, 2, 1)], (5, 1)),
        ],
        ids=lambda value: " ".join(map(repr, value)) if isinstance(value, list) else None,
    )
    def test_local(self, modules, expected):
        assert after(*modules) == expected

    @pytest.mark.parametrize(
        "modules",
        [
            [nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1)],
            [nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(3), nn.Conv2d(4, 4, 3)],
            [nn.Conv2d(3, 4, 3), nn.AdaptiveMaxPool2d(2)],
            [nn.Conv2d(3, 4, 3, 16), nn.Flatten(2), nn.Linear(16, 5), nn.Unflatten(2, (1, 5))],
        ],
        ids=repr,
    )
    def test_unbounded(self, modules):
        assert after(*modules) is None

    @pytest.mark.parametrize(
        ("join", "expected"),
        [
            (torch.add, (7, 2)),
            (lambda short, long: torch.cat([short[:, :2], long[:, 2:]], 1), (7, 2)),
            (lambda short, long: short * long.mean(1, keepdim=True), (7, 2)),
            (lambda short, long: short * long.mean((2, 3), keepdim=True).sigmoid(), None),
            (lambda short, long: short, (3, 2)),
            # As in a feature pyramid: 32 positions made of 11.
            (lambda short, long: short + F.interpolate(F.max_pool2d(long, 1, 3), short.shape[2:]),
             (7, 2)),
        ],
        ids=["sum", "concatenation", "channels", "squeeze", "short", "pyramid"],
    )  # fmt: skip
    def test_of_two_ways_the_longest_counts(self, join, expected):
        assert fields(Merge(join)) == [expected]

    def test_regions_that_are_cut_out(self):
        class Head(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv, self.head = nn.Conv2d(3, 4, 3, 4), nn.Conv2d(4, 4, 3)
                self.before, self.after = norm(), norm()

            def forward(self, x):
                x = self.before(self.conv(x))
                boxes = [torch.tensor([[0.0, 0, 30, 30]])] * len(x)
                return self.after(self.head(roi_align(x, boxes, 7, 0.25)))

        assert fields(Head()) == [(3, 4), None]

    def test_sequences_and_videos(self):
        line = nn.Sequential(nn.Conv1d(3, 4, 5, 2), norm(), nn.MaxPool1d(3, 2), norm())
        assert fields(line, 2, 3, 64) == [(5, 2), (9, 4)]
        video = nn.Sequential(nn.Conv3d(3, 4, (7, 3, 3), (1, 2, 2)), nn.MaxPool3d((2, 1, 1)))
        assert after(*video, shape=(2, 3, 16, 16, 16)) == (3, 2)

    def test_of_several_calls_the_largest_counts(self):
        shared = norm()
        model = nn.Sequential(nn.Conv2d(3, 4, 3), shared, nn.Conv2d(4, 4, 3), shared)
        assert fields(model) == [(5, 1)]

    def test_a_norm_of_the_input_and_one_that_is_not_run(self):
        model = nn.Sequential(norm(3), nn.Conv2d(3, 4, 3))
        model.unused = norm()
        found = receptive_fields(model, lambda: model[1](model[0](torch.randn(IMAGE))))
        assert found == {"0": (1, 1), "unused": None}

    @pytest.mark.parametrize("backend", ["reference", "eager"])
    def test_statistics_are_not_counted(self, backend):
        with normlib.use_backend(backend):
            model = nn.Sequential(nn.Conv2d(3, 4, 3), norm(), nn.Conv2d(4, 4, 3), norm())
            assert fields(model) == [(3, 1), (5, 1)]

    def test_a_residual_that_the_norm_adds(self):
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv, self.norm1, self.norm2 = nn.Conv2d(3, 4, 5, padding=2), norm(), norm()
                self.short = nn.Conv2d(3, 4, 1)

            def forward(self, x):
                return self.norm2(self.norm1(self.short(x), residual=self.conv(x)))

        assert fields(Block()) == [(1, 1), (5, 1)]


class TestNetworks:
    def test_resnet50_with_strides_in_its_3x3_convolutions(self):
        model = normlib.convert(models.resnet50())
        found = receptive_fields(model, lambda: model(torch.randn(IMAGE)))
        assert len(found) == 53
        assert found["bn1"] == (7, 2)
        # At the end of a stage of n blocks with stride s: 2 s n more, and s fewer where it begins.
        assert found["layer1.2.bn3"] == (11 + 3 * 2 * 4, 4)
        assert found["layer2.3.bn3"] == (35 + 2 * 4 + 3 * 2 * 8, 8)
        assert found["layer3.5.bn3"] == (91 + 2 * 8 + 5 * 2 * 16, 16)
        assert found["layer4.2.bn3"] == (427, 32)
        assert found["layer4.0.downsample.1"] == (267, 32)

    def test_resnet50_with_strides_in_its_1x1_convolutions(self):
        pytest.importorskip("normlib.openmmlab")  # serves mmcv's compiled operators
        backbone = pytest.importorskip("mmdet.models").ResNet(50, style="caffe", norm_eval=False)
        model = normlib.convert(backbone)
        found = receptive_fields(model, lambda: model(torch.randn(IMAGE)))
        assert found["layer4.2.bn3"] == (483, 32)
        assert found["layer3.5.bn3"] == (291, 16)

    def test_resnet18(self):
        model = normlib.convert(models.resnet18())
        assert max(f for f in fields(model) if f) == (435, 32)


class TestLeavesAlone:
    def build(self):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, 2), norm(), nn.ReLU(), nn.Dropout(), nn.Conv2d(4, 4, 3), norm()
        )

    def gradients(self, follow: bool, run) -> list[torch.Tensor]:
        model = self.build()
        if follow:
            with FieldTracker(model) as tracker:
                loss = run(model, torch.ones(IMAGE).cumsum(-1))
            assert list(tracker.fields().values()) == [(3, 2), (7, 2)]
        else:
            loss = run(model, torch.ones(IMAGE).cumsum(-1))
        loss.backward()
        return [parameter.grad for parameter in model.parameters()]

    @staticmethod
    def plain(model, x):
        return model(x).square().sum()

    @staticmethod
    def mixed(model, x):
        with torch.autocast("cpu", torch.bfloat16):
            return model(x).float().square().sum()

    @staticmethod
    def checkpointed(model, x):
        return checkpoint(model, x.requires_grad_(), use_reentrant=False).square().sum()

    @pytest.mark.parametrize("run", ["plain", "mixed", "checkpointed"])
    def test_what_is_computed(self, run):
        step = getattr(self, run)
        pairs = zip(self.gradients(True, step), self.gradients(False, step), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)

    def test_the_model_after_an_error(self):
        model = self.build()

        def fail():
            model(torch.randn(IMAGE))
            raise KeyError("no")

        with pytest.raises(KeyError):
            receptive_fields(model, fail)
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
        assert not torch.utils._python_dispatch._get_current_dispatch_mode_stack()

    def test_an_operator_that_cannot_be_followed(self, monkeypatch):
        from normlib.analysis import extents

        def fail(*args):
            raise ValueError

        monkeypatch.setitem(extents._RULES, "convolution", fail)
        assert fields(self.build()) == [None, None]
