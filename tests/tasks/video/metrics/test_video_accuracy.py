from __future__ import annotations

import logging

import cv2
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.registry import METRICS

import normlib.openmmlab  # noqa: F401  serves the operators that mmdet imports

# isort: split
import tasks.video.metrics  # noqa: F401
from tasks.class_ranks import MetricError

SCORES = torch.tensor(
    [
        [0.7, 0.2, 0.1, 0.0],
        [0.4, 0.5, 0.1, 0.0],
        [0.1, 0.2, 0.3, 0.4],
        [0.3, 0.3, 0.3, 0.1],
        [0.1, 0.6, 0.2, 0.1],
    ]
)
LABELS = torch.tensor([0, 0, 1, 1, 1])  # places 0, 1, 2, 2, 0


@pytest.fixture
def log(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO):
        yield caplog
    logger.removeHandler(caplog.handler)


def build(**options):
    return Evaluator(METRICS.build(dict(type="VideoAccuracy", **options)))


def samples(scores, labels):
    pairs = zip(scores, labels, strict=True)
    return [{"scores": score, "label": label} for score, label in pairs]


def evaluate(evaluator, given, batch=2):
    for start in range(0, len(given), batch):
        evaluator.process(data_samples=given[start : start + batch], data_batch=None)
    return evaluator.evaluate(len(given))


def test_by_hand(log):
    assert evaluate(build(topk=(1, 2, 3)), samples(SCORES, LABELS)) == pytest.approx(
        {
            "accuracy/top1": 40,
            "accuracy/top2": 60,
            "accuracy/top3": 100,
            "accuracy/mean_class_accuracy": 100 * (1 / 2 + 1 / 3) / 2,
            "accuracy/videos": 5,
        }
    )
    assert "The accuracy is that of 5 videos." in log.text


def test_the_rule_is_that_of_images():
    import tasks.classification.metrics  # noqa: F401

    random = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 4, (60, 6), generator=random) / 4  # many are equal
    scores[5:9, 2] = torch.nan
    given = samples(scores, torch.randint(6, (60,), generator=random))
    expected = evaluate(Evaluator(METRICS.build(dict(type="TopKAccuracy"))), given)
    found = evaluate(build(), given)
    assert {key: found[key] for key in expected} == expected


def test_unreadable_videos_are_left_out_and_counted(log):
    labels = torch.tensor([0, -1, 1, -1, 1])
    metrics = evaluate(build(topk=(1,)), samples(SCORES, labels))
    assert metrics == pytest.approx(
        {
            "accuracy/top1": 200 / 3,
            "accuracy/mean_class_accuracy": 75,
            "accuracy/videos": 3,
            "accuracy/unreadable_videos": 2,
        }
    )
    (record,) = [record for record in log.records if "accuracy is that of" in record.message]
    assert record.levelno == logging.WARNING
    assert "3 of 5 videos; 2 could not be read" in record.message


def test_files(tmp_path):
    evaluator = build(out_dir=str(tmp_path / "out"))
    evaluator.dataset_meta = {"classes": ("run", "swim", "dive", "jump")}
    given = samples(SCORES, LABELS)
    given[2]["label"] = torch.tensor(-1)
    evaluate(evaluator, given)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["confusion.csv", "confusion.png"]
    assert (tmp_path / "out" / "confusion.csv").read_text().splitlines()[1:] == [
        "run,run,1",
        "run,swim,1",
        "swim,swim,1",
        "swim,,1",
    ]
    assert cv2.imread(str(tmp_path / "out" / "confusion.png")) is not None


def test_classes_without_names(tmp_path):
    evaluate(build(out_dir=str(tmp_path)), samples(SCORES, LABELS))
    assert "1,3,1" in (tmp_path / "confusion.csv").read_text().splitlines()


def test_mistakes():
    with pytest.raises(MetricError, match="VideoAccuracy: topk is"):
        build(topk=(0,))
    with pytest.raises(MetricError, match="is the validation set empty"):
        build().evaluate(0)
    with pytest.raises(MetricError, match="none of the 5 videos could be read"):
        evaluate(build(), samples(SCORES, torch.full((5,), -1)))


def on_rank(rank, folder):
    """Two ranks share five videos as mmengine's sampler does, with the first one repeated."""
    evaluator = build(topk=(1, 2), collect_dir=folder)
    given = samples(SCORES, torch.tensor([0, -1, 1, 1, 1]))
    own = [given[index % 5] for index in range(rank, 6, 2)]
    for start in (0, 2):
        evaluator.process(data_samples=own[start : start + 2], data_batch=None)
    return evaluator.evaluate(5)


def test_ranks_agree_with_one_process(rank_pool, tmp_path):
    expected = evaluate(build(topk=(1, 2)), samples(SCORES, torch.tensor([0, -1, 1, 1, 1])))
    assert expected["accuracy/videos"] == 4
    assert rank_pool(2).run(on_rank, str(tmp_path / "parts")) == [expected] * 2
