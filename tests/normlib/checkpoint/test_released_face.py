"""Released face checkpoints compute, in this project's model, what the released models compute."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

import normlib.openmmlab  # noqa: F401  registers the norms
import tasks.face.models  # noqa: F401
from normlib.checkpoint import released
from normlib.checkpoint.released_files import FILES
from normlib.checkpoint.released_report import report
from normlib.openmmlab.pretrained import load_weights, state_dict_of
from tests.normlib.checkpoint.released_face import ReleasedFace
from tests.normlib.checkpoint.released_models import ReleasedNorm

SN = partial(ReleasedNorm, eps=2e-5)
BN = partial(nn.BatchNorm2d, eps=2e-5, momentum=0.9)


@pytest.fixture
def images():
    return torch.randn(3, 3, 32, 32, dtype=torch.float64)


def container(state):
    """As the face recognition code saves it."""
    return {"step": 9, "state_dict": {f"module.{key}": value for key, value in state.items()}}


def recognizer(norm_cfg, use_se=False):
    model = MODELS.build(
        dict(
            type="FaceRecognizer",
            backbone=dict(
                type="IRResNet", depth=18, base_channels=16, use_se=use_se, norm_cfg=norm_cfg
            ),
            neck=dict(
                type="EmbeddingNeck",
                in_channels=128,
                map_size=2,
                out_channels=6,
                norm_cfg=norm_cfg,
                embedding_norm_cfg=dict(type="BN1d"),
            ),
            head=dict(type="PartialFC", num_classes=9, in_channels=6),
        )
    )
    return model.double().eval()


def load(module, checkpoint):
    load_weights(module, state_dict_of(checkpoint, "face.pth", module=module), "face.pth")


def embed(model, images):
    return nn.functional.normalize(model.neck(model.backbone(images)))


@pytest.mark.parametrize("use_se", [False, True])
@pytest.mark.parametrize(
    ("norm", "norm_cfg"),
    [
        (SN, dict(type="SN", eps=2e-5, momentum=0.1, unbiased=True)),
        (partial(SN, using_bn=False), dict(type="SN", eps=2e-5, unbiased=True)),
        (BN, dict(type="BN", eps=2e-5)),
    ],
    ids=["SN", "SN of IN and LN", "BN"],
)
@torch.no_grad()
def test_embeddings_are_the_same(norm, norm_cfg, use_se, images):
    theirs = ReleasedFace(norm, use_se=use_se)
    if norm_cfg["type"] == "SN" and len(theirs.basemodel.norm1.mean_weight) == 2:
        norm_cfg = dict(norm_cfg, normalizers=("in", "ln"))
    ours = recognizer(norm_cfg, use_se)
    load(ours, container(theirs.state_dict()))
    torch.testing.assert_close(embed(ours, images), theirs(images), rtol=1e-9, atol=1e-9)
    assert torch.equal(ours.head.weight, theirs.head.weight)


@torch.no_grad()
def test_without_the_published_eps_they_differ(images):
    theirs = ReleasedFace(BN)
    ours = recognizer(dict(type="BN"))
    load(ours, theirs.state_dict())
    assert (embed(ours, images) - theirs(images)).abs().max() > 1e-8


def test_a_backbone_alone():
    theirs = ReleasedFace(SN)
    ours = recognizer(dict(type="SN")).backbone
    load(ours, container(theirs.state_dict()))
    assert torch.equal(ours.layer3[1].sn2.weight, theirs.basemodel.layer3[1].norm2.weight.flatten())


def test_every_key_has_its_place():
    state = {
        "basemodel.conv1.weight": torch.ones(4, 3, 3, 3),
        "basemodel.norm1.weight": torch.ones(1, 4, 1, 1),
        "basemodel.norm1.mean_weight": torch.ones(3),
        "basemodel.norm1.running_mean": torch.ones(1, 4, 1),
        "basemodel.prelu.weight": torch.ones(1),
        "basemodel.layer1.0.norm1.bias": torch.ones(1, 4, 1, 1),
        "basemodel.layer1.0.norm1.mean_weight": torch.ones(3),
        "basemodel.layer1.0.conv3.weight": torch.ones(8, 4, 1, 1),
        "basemodel.layer1.0.norm4.running_var": torch.ones(1, 8, 1),
        "basemodel.layer1.0.norm4.mean_weight": torch.ones(3),
        "basemodel.layer1.0.prelu.weight": torch.ones(1),
        "basemodel.layer1.0.se.fc1.weight": torch.ones(1, 8, 1, 1),
        "basemodel.layer1.0.se.pelu.weight": torch.ones(1),
        "basemodel.layer1.0.se.fc2.weight": torch.ones(8, 1, 1, 1),
        "basemodel.layer1.0.downsample.0.weight": torch.ones(8, 4, 1, 1),
        "basemodel.layer1.0.downsample.1.weight": torch.ones(1, 8, 1, 1),
        "basemodel.layer1.0.downsample.1.var_weight": torch.ones(3),
        "basemodel.layer1.0.downsample.1.mean_weight": torch.ones(3),
        "basemodel.output_layer.0.bias": torch.ones(1, 8, 1, 1),
        "basemodel.output_layer.0.mean_weight": torch.ones(3),
        "basemodel.output_layer.3.bias": torch.ones(6),
        "basemodel.output_layer.4.running_var": torch.ones(6),
        "head.weight": torch.ones(9, 6),
    }
    conversion = released.convert({f"module.{key}": value for key, value in state.items()})
    assert {key: tuple(value.shape) for key, value in conversion.state.items()} == {
        "backbone.conv1.weight": (4, 3, 3, 3),
        "backbone.sn1.weight": (4,),
        "backbone.sn1.mean_weight": (3,),
        "backbone.sn1.running_mean": (4,),
        "backbone.prelu.weight": (1,),
        "backbone.layer1.0.sn1.bias": (4,),
        "backbone.layer1.0.sn1.mean_weight": (3,),
        "backbone.layer1.0.conv3.weight": (8, 4, 1, 1),
        "backbone.layer1.0.sn4.running_var": (8,),
        "backbone.layer1.0.sn4.mean_weight": (3,),
        "backbone.layer1.0.prelu.weight": (1,),
        "backbone.layer1.0.se.fc1.weight": (1, 8, 1, 1),
        "backbone.layer1.0.se.prelu.weight": (1,),
        "backbone.layer1.0.se.fc2.weight": (8, 1, 1, 1),
        "backbone.layer1.0.downsample.0.weight": (8, 4, 1, 1),
        "backbone.layer1.0.downsample.1.weight": (8,),
        "backbone.layer1.0.downsample.1.var_weight": (3,),
        "backbone.layer1.0.downsample.1.mean_weight": (3,),
        "neck.sn.bias": (8,),
        "neck.sn.mean_weight": (3,),
        "neck.fc.bias": (6,),
        "neck.embedding_norm.running_var": (6,),
        "head.weight": (9, 6),
    }
    assert conversion.norm_cfg() == dict(type="SN", eps=2e-5, momentum=0.1, unbiased=True)


def test_what_has_no_counterpart_is_named():
    state = ReleasedFace(BN).state_dict() | {"basemodel.gate.weight": torch.ones(1)}
    unused = released.convert(state).unused
    assert [entry.key for entry in unused] == ["basemodel.gate.weight"]


@pytest.mark.parametrize(
    ("norm", "said"),
    [
        (SN, "norm_cfg=dict(type='SN', eps=2e-05, momentum=0.1, unbiased=True)"),
        (BN, "norm_cfg=dict(type='BN', eps=2e-05)"),
        (BN, "backbone=dict(type='IRResNet')"),
        (SN, "neck=dict(type='EmbeddingNeck', embedding_norm_cfg=dict(type='BN1d'))"),
    ],
)
def test_it_says_how_to_evaluate(norm, said):
    text = report(released.convert(ReleasedFace(norm).state_dict()), "f.pth")
    assert text.count(said) == 1


def test_what_was_converted_is_ordinary():
    for norm in (SN, BN):
        assert released.recognise(released.convert(ReleasedFace(norm).state_dict()).state) is None


def test_the_published_files():
    faces = {file.entry: file.figures for file in FILES.values() if file.task == "face"}
    assert faces == {
        "ResNet-100, SyncSN (16,32)": "MegaFace 98.51",
        "ResNet-100, SN (10,52)": "MegaFace 98.10",
        "ResNet-100, BN (8,64)": "MegaFace 98.29",
        "ResNet-50, SyncSN + argmax (8,64)": "MegaFace 98.26",
        "ResNet-50, SN (8,64)": "MegaFace 97.84",
        "ResNet-50, BN (8,64)": "MegaFace 97.59",
    }
