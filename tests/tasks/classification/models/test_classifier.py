from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS as DET_MODELS
from mmengine.registry import MODELS

import tasks.classification  # noqa: F401
from normlib import SwitchNorm
from normlib.checkpoint.batch_average import BatchAverage
from normlib.openmmlab.pretrained import load_weights, state_dict_of
from tasks.classification.models.errors import ModelError


def build(**changes):
    backbone = dict(
        type="mmdet.ResNet",
        depth=18,
        base_channels=8,
        out_indices=(3,),
        norm_eval=False,
        norm_cfg=dict(type="SN"),
    )
    head = dict(type="LinearClsHead", num_classes=5, in_channels=64)
    head.update(changes.pop("head", {}))
    backbone.update(changes.pop("backbone", {}))
    return MODELS.build(dict(type="ImageClassifier", backbone=backbone, head=head, **changes))


IMAGES = torch.randn(4, 3, 32, 32)
LABELS = torch.tensor([0, 1, 4, 2])


def test_the_modes_agree():
    model = build().eval()
    logits = model(IMAGES)
    assert logits.shape == (4, 5)
    predictions = model(IMAGES, LABELS, mode="predict")
    assert torch.equal(torch.stack([p["scores"] for p in predictions]), logits.softmax(1))
    assert [int(p["label"]) for p in predictions] == LABELS.tolist()
    assert "label" not in model(IMAGES, mode="predict")[0]
    losses = model(IMAGES, LABELS, mode="loss")
    assert losses["loss"].item() == pytest.approx(F.cross_entropy(logits, LABELS).item())
    right = (logits.argmax(1) == LABELS).float().mean()
    assert losses["top1"].item() == pytest.approx(100 * right.item())


def test_logits_are_the_linear_layer_on_the_mean_of_the_last_map():
    model = build().eval()
    features = model.backbone(IMAGES)[-1].mean((2, 3))
    torch.testing.assert_close(model(IMAGES), model.head.fc(features))


def test_label_smoothing():
    model = build(head=dict(label_smoothing=0.3))
    logits = torch.randn(4, 5)
    target = 0.7 * F.one_hot(LABELS, 5) + 0.3 / 5
    expected = -(target * logits.log_softmax(1)).sum(1).mean()
    assert model.head.loss(logits, LABELS).item() == pytest.approx(expected.item(), rel=1e-6)


def test_dropout_acts_in_training_alone():
    model = build(head=dict(dropout=0.5))
    features = torch.randn(4, 64, 2, 2)
    model.train()
    assert not torch.equal(model.head(features), model.head(features))
    model.eval()
    assert torch.equal(model.head(features), model.head(features))


def test_mixup_mixes_images_and_targets_in_training_alone(monkeypatch):
    model = build(mixup=0.4)
    seen = []

    def head_loss(logits, target):
        seen.append(target)
        return F.cross_entropy(logits, target)

    monkeypatch.setattr(model.head, "loss", head_loss)
    losses = model.train()(IMAGES, LABELS, mode="loss")
    assert "top1" not in losses
    model.eval()(IMAGES, LABELS, mode="loss")
    assert seen[0].shape == (4, 5)
    torch.testing.assert_close(seen[0].sum(1), torch.ones(4))
    assert torch.equal(seen[1], LABELS)


def test_the_last_gamma_of_every_block_starts_at_zero():
    model = build()
    model.init_weights()
    for stage in range(1, 5):
        for block in getattr(model.backbone, f"layer{stage}"):
            assert isinstance(block.norm2, SwitchNorm)
            assert block.norm2.weight.abs().max() == 0
            assert block.norm1.weight.min() == 1


def test_the_backbone_drops_into_a_detector(tmp_path):
    model = build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    torch.save({"state_dict": model.state_dict(), "meta": {}}, tmp_path / "epoch_1.pth")
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "epoch_1.pth"), prefix="backbone.")
    backbone = DET_MODELS.build(
        dict(
            type="mmdet.ResNet",
            depth=18,
            base_channels=8,
            norm_cfg=dict(type="SN"),
            norm_eval=False,
            init_cfg=init_cfg,
        )
    )
    backbone.init_weights()
    expected = model.backbone.state_dict()
    assert backbone.state_dict().keys() == expected.keys()
    assert all(torch.equal(v, expected[k]) for k, v in backbone.state_dict().items())


def test_a_file_of_another_number_of_classes_is_refused(tmp_path):
    state = build().state_dict()
    other = build(head=dict(num_classes=7))
    with pytest.raises(ValueError, match=r"classes\.pth does not fit.*head\.fc\.weight"):
        load_weights(other, state_dict_of(state, "classes.pth"), "classes.pth")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(mixup=-1), r"model\.mixup is -1"),
        (dict(mixup="abc"), r"model\.mixup is 'abc'"),
        (dict(head=dict(num_classes=0)), r"num_classes is 0"),
        (dict(head=dict(dropout=1.5)), r"model\.head\.dropout is 1.5; it must lie in \[0, 1\)"),
        (dict(head=dict(label_smoothing=-1)), r"model\.head\.label_smoothing is -1"),
    ],
)
def test_mistakes(changes, message):
    with pytest.raises(ModelError, match=message):
        build(**changes)


def test_an_unknown_depth():
    with pytest.raises(ModelError, match=r"depth is 19; it is one of \[18, 34"):
        MODELS.build(dict(type="PreActResNet", depth=19))


def test_a_batch_average_is_of_whole_images():
    model, plain = build(mixup=0.4), build()
    plain.load_state_dict(model.state_dict())
    statistics = []
    for one in (model, plain):
        average = BatchAverage(one)
        with average.collecting():
            one(IMAGES, LABELS, mode="loss")
        statistics.append(average.statistics())
    assert statistics[0].keys() == statistics[1].keys()
    assert all(torch.equal(value, statistics[1][name]) for name, value in statistics[0].items())
