from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS

import tasks.face.metrics  # noqa: F401
from tasks.face.evaluation.verification import VerificationError

# Unit vectors by their angle in degrees; the squared distance of two is 2 - 2 cos.
ANGLES = {"a": [0, 30, 0, 90, 0, 30, 0, 120], "b": [0, 50, 10, 95, 20, 60, 10, 80]}


def two_sets():
    """Sets of four pairs: same, different, same, different."""
    pairs = np.arange(8).reshape(4, 2)
    same = np.array([True, False] * 2)
    return {"a": {"pairs": pairs, "same": same}, "b": {"pairs": pairs + 8, "same": same}}


def samples(angles):
    radians = torch.tensor(angles).deg2rad()
    embeddings = torch.stack([radians.cos(), radians.sin()], 1)
    return [
        {"embedding": embedding, "index": torch.tensor(index)}
        for index, embedding in enumerate(embeddings)
    ]


def build(sets=None, folds=2, **options):
    evaluator = Evaluator(METRICS.build(dict(type="FaceVerification", folds=folds, **options)))
    evaluator.dataset_meta = {"sets": two_sets() if sets is None else sets}
    return evaluator


def evaluate(evaluator, given, batch=3):
    for start in range(0, len(given), batch):
        evaluator.process(data_samples=given[start : start + batch], data_batch=None)
    return evaluator.evaluate(len(given))


def test_by_hand():
    evaluator = build(fars=(0.4, 0.5, 1.0))
    metrics = evaluate(evaluator, samples(ANGLES["a"] + ANGLES["b"]))
    # Set a: pairs at 30, 90, 30 and 120 degrees, right in every fold.
    # Set b: at 50, 85, 40 and 70 degrees. The second fold's threshold, just above 40 degrees,
    # refuses the 50 of the first; the first fold's, just above 50, is right for the second.
    # Both: one impostor of two may pass; the next is at 120 and at 85 degrees.
    assert metrics == pytest.approx(
        {
            "a/accuracy": 100,
            "a/accuracy_std": 0,
            "a/tar@far=5e-01": 100,
            "a/tar@far=1e+00": 100,
            "b/accuracy": 75,
            "b/accuracy_std": 25,
            "b/tar@far=5e-01": 100,
            "b/tar@far=1e+00": 100,
            "mean/accuracy": 87.5,
        }
    )
    details = evaluator.metrics[0].details
    assert set(details) == {"a", "b"}
    assert details["b"]["fold_accuracies"] == [50, 100]
    # The lowest multiples of 0.01 above 2 - 2 cos of 40 and of 50 degrees.
    assert details["b"]["fold_thresholds"] == pytest.approx([0.47, 0.72])
    assert details["b"]["threshold"] == pytest.approx(0.72)
    assert [details["b"][key] for key in ("pairs", "genuine", "impostor")] == [4, 2, 2]


def test_embeddings_need_not_be_of_length_one_nor_in_order():
    given = samples(ANGLES["a"] + ANGLES["b"])
    expected = evaluate(build(), given)
    shuffled = [
        {**given[index], "embedding": given[index]["embedding"] * (1 + index)}
        for index in torch.randperm(16).tolist()
    ]
    assert evaluate(build(), shuffled) == pytest.approx(expected)


def test_one_set_has_no_mean():
    sets = {"a": two_sets()["a"]}
    metrics = evaluate(build(sets), samples(ANGLES["a"]))
    assert set(metrics) == {"a/accuracy", "a/accuracy_std"}


def test_what_cannot_be_measured_is_said_once(monkeypatch):
    lines = []
    monkeypatch.setattr(
        "tasks.face.metrics.face_verification.print_log", lambda text, *_: lines.append(text)
    )
    evaluator = build()
    for _ in range(2):
        evaluate(evaluator, samples(ANGLES["a"] + ANGLES["b"]))
    assert len(lines) == 1
    assert "impostor pairs: a 2, b 2, the lowest FAR 5.0e-01" in lines[0]


def test_images_in_several_pairs_and_a_set_of_genuine_pairs_alone():
    sets = {"a": {"pairs": np.array([[0, 1], [1, 2], [0, 2]]), "same": np.ones(3, bool)}}
    metrics = evaluate(build(sets), samples([5, 5, 5]))
    assert metrics == {"a/accuracy": 100, "a/accuracy_std": 0}


def test_the_picture_is_drawn_where_asked_for(tmp_path):
    evaluate(build(out_dir=str(tmp_path / "out")), samples(ANGLES["a"] + ANGLES["b"]))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["roc.png"]
    assert cv2.imread(str(tmp_path / "out" / "roc.png")) is not None


def test_not_a_number():
    given = samples(ANGLES["a"] + ANGLES["b"])
    given[11]["embedding"][0] = torch.nan
    place = r"image 11 \(set b, pair 1, image 2 of 2\)"
    with pytest.raises(VerificationError, match=f"the embedding of {place} holds NaN"):
        evaluate(build(), given)
    sets = two_sets()
    sets["b"]["file"] = "data/b.bin"
    place = r"image 11 \(data/b\.bin, set b, pair 1, image 2 of 2\)"
    with pytest.raises(VerificationError, match=f"the embedding of {place} holds NaN"):
        evaluate(build(sets), given)


def test_missing_and_double_images():
    given = samples(ANGLES["a"] + ANGLES["b"])
    place = r"image 3 \(set a, pair 1, image 2 of 2\)"
    with pytest.raises(VerificationError, match=rf"no embedding of {place}, and 1 are missing"):
        evaluate(build(), given[:3] + given[4:])
    with pytest.raises(VerificationError, match=f"2 embeddings of {place}"):
        evaluate(build(), [*given, given[3]])


def test_mistakes():
    with pytest.raises(VerificationError, match="set a: 4 pairs cannot be cut into 9 folds"):
        evaluate(build(folds=9), samples(ANGLES["a"] + ANGLES["b"]))
    with pytest.raises(VerificationError, match="names no sets of pairs"):
        evaluate(build(sets={}), samples(ANGLES["a"]))
    with pytest.raises(VerificationError, match="is the validation set empty"):
        build().evaluate(0)
    with pytest.raises(VerificationError, match="fars is"):
        build(fars=(0, 1))
    with pytest.raises(VerificationError, match="folds is 1"):
        build(folds=1)


def on_rank(rank, folder):
    """Two ranks share 16 images as mmengine's sampler does, with two repeated at the end."""
    evaluator = build(fars=(0.5,), collect_dir=folder)
    given = samples(ANGLES["a"] + ANGLES["b"])
    own = [given[index % 16] for index in range(rank, 18, 2)]
    for start in (0, 5):
        evaluator.process(data_samples=own[start : start + 5], data_batch=None)
    return evaluator.evaluate(16)


def test_ranks_agree_with_one_process(rank_pool, tmp_path):
    expected = evaluate(build(fars=(0.5,)), samples(ANGLES["a"] + ANGLES["b"]))
    assert rank_pool(2).run(on_rank, str(tmp_path / "parts")) == [expected] * 2
