"""Released checkpoints compute, in this project's models, what the released models compute."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

import normlib
import normlib.openmmlab
import tasks.classification  # noqa: F401
from normlib.checkpoint import released
from normlib.checkpoint.released import ReleasedFileError
from normlib.checkpoint.released_report import report
from normlib.openmmlab.pretrained import load_weights, state_dict_of
from tests.normlib.checkpoint import released_models as original

MASK_RCNN = Path(__file__).parents[3] / "configs" / "_base_" / "models" / "mask-rcnn_r50_fpn.py"
SN = dict(type="SN", unbiased=True)
IMAGES = torch.Generator().manual_seed(3)


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64, dtype=torch.float64, generator=IMAGES)


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def build(cfg):
    with MODELS.switch_scope_and_registry("mmdet") as registry:
        module = registry.build(cfg).double()
    module.eval()
    return module


def resnet(depth=50, norm_cfg=SN, **kwargs):
    return build(dict(type="ResNet", depth=depth, norm_cfg=norm_cfg, norm_eval=False, **kwargs))


def backbone(norm_cfg=SN, type="ResNet", **kwargs):
    cfg = dict(type=type, depth=50, base_channels=2, norm_cfg=norm_cfg)
    if type != "PreActResNet":
        cfg["norm_eval"] = False
    return {**cfg, **kwargs}


def classifier(classes=5, **kwargs):
    cfg = backbone(out_indices=(3,), **kwargs)
    head = dict(type="LinearClsHead", num_classes=classes, in_channels=64)
    return build(dict(type="ImageClassifier", backbone=cfg, head=head))


def load(module, checkpoint):
    load_weights(module, state_dict_of(checkpoint, "file.pth", module=module), "file.pth")


def container(state):
    """As the classification code saves it."""
    return {
        "epoch": 100,
        "model": "resnetv1sn50",
        "state_dict": {f"module.{key}": value for key, value in state.items()},
        "best_prec1": 76.9,
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}},
    }


def same(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


class TestClassification:
    @pytest.mark.parametrize("wrap", [dict, container])
    def test_v1(self, wrap, images):
        theirs = original.ReleasedResNet()
        ours = classifier()
        load(ours, wrap(theirs.state_dict()))
        same(ours(images), theirs(images))

    def test_v1_without_the_arithmetic_of_the_released_layers_differs(self, images):
        theirs = original.ReleasedResNet()
        ours = classifier(norm_cfg=dict(type="SN"))
        load(ours, theirs.state_dict())
        assert (ours(images) - theirs(images)).abs().max() > 1e-3

    def test_v1_as_a_backbone_alone(self, images):
        theirs = original.ReleasedResNet()
        ours = resnet(base_channels=2)
        load(ours, container(theirs.state_dict()))
        same(list(ours(images)), theirs.stages(images))

    def test_v2(self, images):
        theirs = original.ReleasedResNet(pre_act=True)
        ours = classifier(type="PreActResNet")
        load(ours, container(theirs.state_dict()))
        same(ours(images), theirs(images))

    @pytest.mark.parametrize("settled", [True, False])
    def test_ssn(self, settled, images):
        pool = nn.MaxPool2d(3, 2, padding=0, ceil_mode=True)
        theirs = original.ReleasedResNet(
            lambda c: original.ReleasedSparseNorm(c, settled), pool=pool
        )
        norm_cfg = dict(type="SSN", unbiased=True)
        ours = classifier(norm_cfg=norm_cfg, type="StemPoolResNet", stem_pool="ceil")
        load(ours, container(theirs.state_dict()))
        same(ours(images), theirs(images))
        for name, layer in normlib.switch_norm_layers(ours):
            assert all(layer.choice) if settled else not any(layer.choice), name
            assert float(layer.radius) == (1 if settled else 0.125)

    def test_settled_choices_survive_training_and_a_radius_of_0(self, images):
        theirs = original.ReleasedResNet(original.ReleasedSparseNorm)
        ours = classifier(norm_cfg=dict(type="SSN", unbiased=True))
        load(ours, theirs.state_dict())
        normlib.set_radius(ours, 0.0)
        same(ours(images), theirs(images))

    def test_instance_and_layer_statistics_alone(self, images):
        theirs = original.ReleasedResNet(lambda c: original.ReleasedNorm(c, using_bn=False))
        ours = classifier(norm_cfg=dict(**SN, normalizers=("in", "ln")))
        load(ours, theirs.state_dict())
        same(ours(images), theirs(images))

    def test_volumes_are_flattened_as_well(self):
        state = original.ReleasedResNet().state_dict()
        state = {k: v[..., None] if v.dim() == 4 and "sn" in k else v for k, v in state.items()}
        got = released.convert(state).state
        assert got["backbone.layer1.0.sn1.weight"].shape == (2,)
        assert got["backbone.sn1.running_var"].shape == (2,)


class TestDetection:
    @pytest.mark.parametrize("fpn", [True, False])
    def test_backbones(self, fpn, images):
        theirs = original.ReleasedResNet()
        state = original.for_detectron(theirs.state_dict(), fpn)
        ours = resnet(base_channels=2)
        load(ours, {"model": state})
        same(list(ours(images)), theirs.stages(images))
        whole = classifier()
        load(whole, {"model": state})
        same(whole(images), theirs(images))

    def test_the_last_stage_as_a_head(self, images):
        theirs = original.ReleasedResNet()
        state = original.for_detectron(theirs.state_dict(), fpn=False)
        part = dict(type="ResLayer", depth=50, stage=3, norm_cfg=SN, norm_eval=False)
        head = build(part)
        # mmdet's ResLayer is of full width: the names are what there is to see.
        got = state_dict_of({"model": state}, "c4.pth", module=head)
        assert set(head.state_dict()) <= set(got)

    def test_a_whole_mask_rcnn(self, images):
        theirs = original.ReleasedMaskRCNN()
        ours = mask_rcnn()
        checkpoint = {"step": 9, "iters_per_epoch": 3, "model": theirs.state_dict()}
        load(ours, {**checkpoint, "optimizer": {"param_groups": [{"lr": 0.02}]}})
        maps = theirs.Conv_Body(images)
        same(list(ours.extract_feat(images)), maps)
        scores, boxes = ours.rpn_head(maps)
        for k, level in enumerate(maps):
            same((scores[k], boxes[k]), theirs.proposals(level))

        features = torch.randn(5, 4, 7, 7, dtype=torch.float64)
        scores, boxes = ours.roi_head.bbox_head(features)
        their_scores, their_boxes = theirs.boxes(features)
        same(scores, torch.cat((their_scores[:, 1:], their_scores[:, :1]), 1))
        same(boxes, their_boxes[:, 4:])
        same(ours.roi_head.mask_head(features), theirs.masks(features)[:, 1:])

    def test_names_of_other_heads(self):
        """Faster R-CNN of one level, whose head is stage 4, and a head of linear layers."""
        keys = {
            "Conv_Body.res4.0.sn1.bias": "backbone.layer3.0.sn1.bias",
            "Box_Head.res5.0.downsample.1.bias": "roi_head.shared_head.layer4.0.downsample.1.bias",
            "RPN.RPN_conv.bias": "rpn_head.rpn_conv.bias",
            "RPN.RPN_cls_score.bias": "rpn_head.rpn_cls.bias",
            "RPN.RPN_bbox_pred.bias": "rpn_head.rpn_reg.bias",
            "Box_Head.fc1.bias": "roi_head.bbox_head.shared_fcs.0.bias",
            "Box_Head.fc2.bias": "roi_head.bbox_head.shared_fcs.1.bias",
            "Conv_Body.conv_top.bias": "neck.lateral_convs.3.conv.bias",
            "Conv_Body.posthoc_modules.0.bias": "neck.fpn_convs.3.conv.bias",
        }
        conversion = released.convert(dict.fromkeys(keys, torch.ones(4)))
        assert list(conversion.state) == list(keys.values())

    def test_heads_without_norms_are_not_guessed_at(self):
        keys = ["Conv_Body.res1.conv1.weight", "Box_Head.convs.0.bias", "Box_Head.convs.2.bias"]
        conversion = released.convert(dict.fromkeys(keys, torch.ones(4)))
        assert [entry.key for entry in conversion.unused] == keys[1:]

    def test_what_has_no_counterpart_is_named(self):
        state = original.for_detectron(original.ReleasedResNet().state_dict(), fpn=True)
        conversion = released.convert({**state, "Keypoint_Head.conv.weight": torch.ones(1)})
        assert [entry.key for entry in conversion.unused] == ["Keypoint_Head.conv.weight"]
        assert "1 unused (no counterpart): Keypoint_Head.conv.weight" in report(conversion, "f")


def mask_rcnn():
    norm_cfg = dict(**SN, normalizers=("in", "ln"))
    cfg = Config.fromfile(MASK_RCNN).model
    cfg.backbone.update(base_channels=2, norm_cfg=norm_cfg, norm_eval=False, init_cfg=None)
    cfg.backbone.frozen_stages = -1
    cfg.neck.update(in_channels=[8, 16, 32, 64], out_channels=4, norm_cfg=norm_cfg)
    cfg.rpn_head.update(in_channels=4, feat_channels=4)
    cfg.roi_head.bbox_head.update(
        in_channels=4,
        conv_out_channels=4,
        fc_out_channels=6,
        num_classes=3,
        norm_cfg=norm_cfg,
    )
    cfg.roi_head.mask_head.update(
        in_channels=4, conv_out_channels=4, num_classes=3, norm_cfg=norm_cfg
    )
    return build(cfg)


def test_segmentation_decoders(images):
    encoder, theirs = original.ReleasedResNet(classes=0), original.ReleasedDecoder(64)
    maps = encoder.stages(images)
    got = state_dict_of(theirs.state_dict(), "decoder.pth")
    ours = []
    for part, channels in (("decode_head", 64), ("auxiliary_head", 32)):
        head = build(
            dict(
                type="mmseg.FCNHead",
                in_channels=channels,
                channels=16,
                in_index=3 if part == "decode_head" else 2,
                num_convs=1,
                concat_input=False,
                num_classes=4,
                norm_cfg=SN,
            )
        )
        state = {k.removeprefix(f"{part}."): v for k, v in got.items() if k.startswith(part)}
        load_weights(head, state, "decoder.pth", exact=True)
        ours.append(head(maps))
    same(ours, list(theirs(maps)))


def test_a_decoder_with_group_norm_has_other_names():
    state = {"cbr.0.weight": torch.ones(4, 4, 3, 3), "conv_last.weight": torch.ones(2, 4, 1, 1)}
    state |= {"cbr.1.weight": torch.ones(4), "cbr.1.bias": torch.ones(4)}
    assert "decode_head.convs.0.gn.bias" in released.convert(state).state
    state["cbr.1.running_mean"] = torch.zeros(4)
    assert "decode_head.convs.0.bn.bias" in released.convert(state).state


@pytest.mark.parametrize("norm", ["bn", "gn"])
def test_encoders_with_other_norms(norm):
    """A GN encoder whose norms are called bn1, bn2, ... in the file."""
    norm_cfg = dict(type="BN") if norm == "bn" else dict(type="GN", num_groups=1)
    theirs = resnet(base_channels=2, norm_cfg=norm_cfg)
    state = {k.replace("gn", "bn"): torch.rand(v.shape) for k, v in theirs.state_dict().items()}
    assert released.recognise(state) is None
    got = released.for_module(released.convert(state, plain=True).state, list(theirs.state_dict()))
    load_weights(theirs, got, "encoder.pth")
    for key, value in theirs.state_dict().items():
        assert torch.equal(value, state[key.replace("gn", "bn")].to(value.dtype))


class TestOrdinaryCheckpoints:
    def ordinary(self):
        import torchvision

        yield torchvision.models.resnet18().state_dict()
        yield resnet(18).state_dict()
        yield resnet(18, norm_cfg=dict(type="SSN")).state_dict()
        yield classifier().state_dict()
        yield classifier(type="PreActResNet").state_dict()
        yield classifier(type="PreActResNet").backbone.state_dict()
        yield mask_rcnn().state_dict()
        yield nn.Sequential(nn.Linear(2, 2), normlib.SwitchNorm(2)).state_dict()

    def test_they_pass_unchanged(self):
        for state in self.ordinary():
            got = state_dict_of(state, "f.pth")
            assert list(got) == list(state)
            assert all(got[key] is value for key, value in state.items())

    def test_what_was_converted_is_ordinary(self):
        for pre_act in (False, True):
            state = original.ReleasedResNet(pre_act=pre_act).state_dict()
            converted = released.convert(state).state
            assert released.recognise(converted) is None
            bare = {k.removeprefix("backbone."): v for k, v in converted.items()}
            assert released.recognise(bare) is None

    def test_one_cannot_be_converted(self):
        with pytest.raises(ReleasedFileError, match=r"f\.pth is in none of the released.*0\.w"):
            released.convert(nn.Sequential(nn.Linear(2, 2)).state_dict(), "f.pth")


class TestContradictions:
    def test_a_norm_with_several_numbers_a_channel(self):
        state = original.ReleasedResNet().state_dict()
        state["layer1.0.sn2.weight"] = torch.ones(1, 2, 3, 1)
        with pytest.raises(ReleasedFileError, match=r"f: layer1\.0\.sn2\.weight.*\(1, 2, 3, 1\)"):
            released.convert(state, "f")

    def test_a_settled_layer_that_is_not_one_hot(self):
        state = original.ReleasedResNet(original.ReleasedSparseNorm).state_dict()
        state["sn1.var_weight"] = torch.tensor([0.5, 0.5, 0.0])
        with pytest.raises(ReleasedFileError, match=r"sn1\.var_weight is marked as settled"):
            released.convert(state, "f")


class TestReport:
    def test_every_key_is_there(self):
        state = original.ReleasedResNet(original.ReleasedSparseNorm).state_dict()
        state = {f"module.{key}": value for key, value in state.items()} | {"epochs": 3}
        text = report(released.convert(state, "ssn.pth"), "ssn.pth", verbose=True)
        for key in state:
            assert f" {key}" in text
        assert "renamed, settled module.sn1.mean_weight" in text.replace(":", "")
        assert "unused (not a tensor): epochs" in text

    def test_groups_count_every_key(self):
        state = original.ReleasedResNet().state_dict()
        lines = report(released.convert(state), "r50.pth").splitlines()
        assert (
            lines[0]
            == f"r50.pth: ResNet v1 classification, or segmentation encoder, {len(state)} keys"
        )
        counts = [int(line.split()[0]) for line in lines[2:] if line.split()[0].isdigit()]
        assert sum(counts) == len(state)

    @pytest.mark.parametrize(
        ("model", "said"),
        [
            (dict(), "norm_cfg=dict(type='SN', momentum=0.1, unbiased=True)"),
            (
                dict(norm=lambda c: original.ReleasedNorm(c, False)),
                "norm_cfg=dict(type='SN', momentum=0.1, unbiased=True, normalizers=('in', 'ln'))",
            ),
            (
                dict(norm=original.ReleasedSparseNorm),
                "norm_cfg=dict(type='SSN', momentum=0.003, unbiased=True)",
            ),
            (dict(norm=original.ReleasedSparseNorm), "stem_pool='ceil'"),
            (dict(pre_act=True), "PreActResNet"),
        ],
    )
    def test_it_says_how_to_evaluate(self, model, said):
        state = original.ReleasedResNet(**model).state_dict()
        assert said in report(released.convert(state), "f.pth")
