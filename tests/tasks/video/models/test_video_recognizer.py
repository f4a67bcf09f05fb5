"""The classifier of videos: losses, averaged views, views in parts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

import normlib.openmmlab  # noqa: F401
import tasks.classification  # noqa: F401
from tasks.video.models import VideoRecognizer
from tasks.video.models.errors import ModelError

MEAN, STD = [120.0, 110.0, 100.0], [60.0, 55.0, 50.0]


def recognizer(norm: str = "SN", **options) -> VideoRecognizer:
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type="VideoRecognizer",
            data_preprocessor=dict(type="ClipDataPreprocessor", mean=MEAN, std=STD),
            backbone=dict(
                type="I3DResNet",
                depth=18,
                base_channels=8,
                out_indices=(3,),
                norm_cfg=dict(type=norm),
            ),
            head=dict(type="LinearClsHead", num_classes=5, in_channels=64),
            **options,
        )
    )


def batch(videos: int, views: int) -> dict:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randint(
        0, 256, (videos, views, 4, 32, 32, 3), dtype=torch.uint8, generator=generator
    )
    return {"inputs": inputs, "data_samples": torch.arange(videos)}


def test_loss_is_the_cross_entropy_of_every_view():
    model = recognizer()
    data = batch(3, 2)
    losses = model(**model.data_preprocessor(data, True), mode="loss")
    clips = data["inputs"].flatten(0, 1)
    pixels = (clips - torch.tensor(MEAN)) / torch.tensor(STD)
    logits = model(pixels.permute(0, 4, 1, 2, 3))
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    torch.testing.assert_close(losses["loss"], F.cross_entropy(logits, labels))
    assert losses["top1"].item() == pytest.approx(
        100 * (logits.argmax(1) == labels).float().mean().item()
    )


@pytest.mark.parametrize("at_once", [None, 1, 4, 100])
def test_scores_are_the_mean_softmax_of_the_views_however_many_go_at_once(at_once):
    model = recognizer(max_testing_views=at_once).eval()
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, x: seen.append(len(x[0])))
    data = batch(2, 6)
    with torch.no_grad():
        results = model.test_step(data)
        assert max(seen) == min(at_once or 12, 12)
        assert sum(seen) == 12
        for video, result in enumerate(results):
            clips = (data["inputs"][video] - torch.tensor(MEAN)) / torch.tensor(STD)
            each = model(clips.permute(0, 4, 1, 2, 3)).softmax(1)
            torch.testing.assert_close(result["scores"], each.mean(0), rtol=1e-4, atol=1e-6)
            assert result["label"].item() == video


def test_raw_views_give_logits_too():
    model = recognizer().eval()
    data = batch(2, 3)
    with torch.no_grad():
        assert model(data["inputs"]).shape == (6, 5)


def test_a_step_of_training_lowers_the_loss():
    model = recognizer("BN")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    data = batch(4, 1)
    losses = []
    for _ in range(8):
        loss = model(**model.data_preprocessor(data, True), mode="loss")["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_arguments_out_of_range():
    with pytest.raises(ModelError, match="max_testing_views is 0; it must be 1 or more, or None"):
        recognizer(max_testing_views=0)
    with pytest.raises(ValueError, match="mode is 'test'"):
        recognizer()(batch(1, 1)["inputs"], mode="test")
    with pytest.raises(ModelError, match=r"inputs of shape \(2, 3, 8, 8\); it takes views"):
        recognizer()(torch.zeros(2, 3, 8, 8))
