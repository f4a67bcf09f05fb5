from __future__ import annotations

import json

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmseg.registry import METRICS

import tasks.segmentation  # noqa: F401  registers the metric

CLASSES = ("wall", "sky", "sea", "flag")


def samples(predictions, labels):
    return [
        {
            "img_path": f"{number}.jpg",
            "pred_sem_seg": {"data": torch.as_tensor(predicted)[None]},
            "gt_sem_seg": {"data": torch.as_tensor(label)[None]},
        }
        for number, (predicted, label) in enumerate(zip(predictions, labels, strict=True))
    ]


def evaluate(given, kind="SegIoUMetric", **options):
    metric = METRICS.build({"type": kind, **options})
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = {"classes": CLASSES}
    for sample in given:
        evaluator.process(data_samples=[sample], data_batch=None)
    return metric, evaluator.evaluate(len(given))


def random_samples():
    predictions = torch.randint(0, 3, (3, 9, 7))
    labels = torch.where(torch.rand(3, 9, 7) < 0.5, predictions, torch.randint(0, 3, (3, 9, 7)))
    labels[:, 0] = 255
    return samples(predictions, labels)


def test_figures_are_those_of_mmseg() -> None:
    given = random_samples()
    _, ours = evaluate(given)
    assert ours == evaluate(given, "IoUMetric")[1]
    assert ours.keys() == {"aAcc", "mIoU", "mAcc"}


def test_details_of_every_class() -> None:
    given = samples([[[0, 0, 1, 2]], [[0, 0, 1, 1]]], [[[0, 1, 1, 255]], [[0, 0, 1, 1]]])
    metric, figures = evaluate(given)
    assert metric.details == {
        "images": 2,
        "per_class": {
            "wall": {"IoU": 75.0, "Acc": 100.0},
            "sky": {"IoU": 75.0, "Acc": 75.0},
            "sea": {"IoU": None, "Acc": None},
            "flag": {"IoU": None, "Acc": None},
        },
    }
    assert figures["mIoU"] == 75.0
    assert json.loads(json.dumps(metric.details)) == metric.details


def test_class_that_is_predicted_but_never_there() -> None:
    metric, _ = evaluate(samples([[[0, 3]]], [[[0, 0]]]))
    assert metric.details["per_class"]["flag"] == {"IoU": 0.0, "Acc": None}


def test_details_are_of_the_last_evaluation() -> None:
    metric = METRICS.build({"type": "SegIoUMetric"})
    assert metric.details == {}
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = {"classes": CLASSES}
    for count in (3, 1):
        given = random_samples()[:count]
        evaluator.process(data_samples=given, data_batch=None)
        evaluator.evaluate(count)
        assert metric.details["images"] == count


def test_no_images() -> None:
    with pytest.raises(ValueError, match="there is no image to evaluate"):
        evaluate([])


def test_prediction_of_another_size() -> None:
    given = samples([torch.zeros(4, 6)], [torch.zeros(4, 5)])
    with pytest.raises(ValueError, match=r"0\.jpg: the prediction is 6 x 4, the label 5 x 4; "):
        evaluate(given)


def test_writing_predictions_alone(tmp_path) -> None:
    given = samples([torch.zeros(4, 6)], [torch.zeros(1, 1)])
    metric, figures = evaluate(given, format_only=True, output_dir=str(tmp_path))
    assert (metric.details, figures) == ({}, {})
    assert (tmp_path / "0.png").is_file()
