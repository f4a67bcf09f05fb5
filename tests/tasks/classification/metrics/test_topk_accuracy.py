from __future__ import annotations

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS

import tasks.classification  # noqa: F401


def evaluate(scores, labels, batch=2, **kwargs):
    evaluator = Evaluator(METRICS.build(dict(type="TopKAccuracy", **kwargs)))
    samples = [
        {"scores": score, "label": label} for score, label in zip(scores, labels, strict=True)
    ]
    for start in range(0, len(samples), batch):
        evaluator.process(data_samples=samples[start : start + batch], data_batch=None)
    return evaluator.evaluate(len(samples))


def test_against_sorting():
    scores = torch.randn(37, 9)
    labels = torch.randint(9, (37,))
    order = scores.argsort(1, descending=True)
    metrics = evaluate(scores, labels, topk=(1, 3, 5))
    for k in (1, 3, 5):
        expected = 100 * (order[:, :k] == labels[:, None]).any(1).double().mean().item()
        assert metrics[f"accuracy/top{k}"] == pytest.approx(expected)


def test_equal_scores_and_nan_are_not_right():
    labels = torch.tensor([0, 1])
    assert evaluate(torch.zeros(2, 4), labels, topk=(1,)) == {"accuracy/top1": 0}
    nan = torch.full((2, 4), torch.nan)
    assert evaluate(nan, labels, topk=(1, 3)) == {"accuracy/top1": 0, "accuracy/top3": 0}


@pytest.mark.parametrize("topk", [(), (0, 1)])
def test_mistakes(topk):
    with pytest.raises(ValueError, match="topk is"):
        METRICS.build(dict(type="TopKAccuracy", topk=topk))
