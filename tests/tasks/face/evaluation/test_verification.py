from __future__ import annotations

import time

import numpy as np
import pytest

from tasks.face.evaluation.verification import (
    THRESHOLDS,
    VerificationError,
    far_name,
    roc_curve,
    squared_distances,
    tar_at_far,
    ten_fold_accuracy,
)


def plain_folds(distances, same, folds):
    """The protocol, a pair and a threshold at a time."""
    bounds, start = [], 0
    for fold in range(folds):
        stop = start + len(same) // folds + (fold < len(same) % folds)
        bounds.append(range(start, stop))
        start = stop

    def right(threshold, pairs):
        return sum((distances[pair] < threshold) == same[pair] for pair in pairs)

    accuracies, chosen = [], []
    for test in bounds:
        train = [pair for pair in range(len(same)) if pair not in test]
        best = max(THRESHOLDS, key=lambda threshold: right(threshold, train))  # the first maximum
        chosen.append(best)
        accuracies.append(right(best, test) / len(test))
    return accuracies, chosen


def plain_tar(positives, negatives, far):
    """The best threshold among all that differ, by counting."""
    tars = [
        np.mean([score > threshold for score in positives])
        for threshold in [-np.inf, *negatives]
        if np.mean([score > threshold for score in negatives]) <= far
    ]
    return max(tars)


class TestDistances:
    def test_of_hand_computed_pairs(self):
        embeddings = np.array([[3, 4], [0.6, 0.8], [-5, 0], [0, 2]], np.float32)
        pairs = np.array([[0, 1], [0, 2], [2, 3], [1, 3]])
        expected = [0, 2 + 2 * 0.6, 2, 2 - 2 * 0.8]
        assert squared_distances(embeddings, pairs) == pytest.approx(expected, abs=1e-7)

    def test_more_pairs_than_are_taken_at_a_time(self):
        random = np.random.default_rng(0)
        embeddings = random.standard_normal((50, 8)).astype(np.float32)
        pairs = random.integers(50, size=(10_000, 2))
        unit = embeddings / np.linalg.norm(embeddings.astype(float), axis=1, keepdims=True)
        cosines = np.einsum("pd,pd->p", unit[pairs[:, 0]], unit[pairs[:, 1]])
        assert squared_distances(embeddings, pairs) == pytest.approx(2 - 2 * cosines, abs=1e-6)


class TestTenFolds:
    def test_by_hand(self):
        # Fold 1 wants a threshold between 0.5 and 1, the others one between 1.5 and 2.
        distances = np.array([0.5, 1.0, 1.5, 2.0, 1.5, 2.0])
        same = np.array([True, False, True, False, True, False])
        result = ten_fold_accuracy(distances, same, folds=3)
        # Others of fold 1: all right from 1.51 on, which is wrong for the distance of 1.
        # Others of fold 2: of 0.5, 1 | 1.5, 2, three are right from 0.51 on, and again from 1.51.
        assert result.thresholds.tolist() == pytest.approx([1.51, 0.51, 0.51])
        assert result.accuracies.tolist() == [0.5, 0.5, 0.5]
        assert (result.mean, result.std) == (0.5, 0)
        # Over all pairs 0.51 is right for four, 1.51 for five.
        assert result.threshold == pytest.approx(1.51)

    def test_a_pair_at_the_threshold_is_refused(self):
        distances = np.array([THRESHOLDS[120], THRESHOLDS[121]] * 2)
        result = ten_fold_accuracy(distances, np.array([True, False] * 2), folds=2)
        assert result.thresholds.tolist() == [THRESHOLDS[121]] * 2
        assert result.accuracies.tolist() == [1, 1]

    @pytest.mark.parametrize(("pairs", "folds"), [(40, 10), (47, 10), (23, 3), (10, 10)])
    def test_against_the_plain_protocol(self, pairs, folds):
        for seed in range(2):
            random = np.random.default_rng(seed)
            same = random.random(pairs) < 0.5
            # Multiples of the step make ties.
            distances = np.where(same, 0.8, 1.6) + random.normal(0, 0.6, pairs)
            distances = np.clip(np.round(distances, 1), 0, 4)
            result = ten_fold_accuracy(distances, same, folds)
            accuracies, thresholds = plain_folds(distances, same, folds)
            assert result.accuracies.tolist() == accuracies
            assert result.thresholds.tolist() == thresholds
            assert result.mean == pytest.approx(np.mean(accuracies))
            assert result.std == pytest.approx(np.std(accuracies))

    def test_seven_thousand_pairs_take_no_time(self):
        random = np.random.default_rng(0)
        distances, same = random.random(7000) * 4, random.random(7000) < 0.5
        took = []
        for _ in range(3):
            start = time.process_time()
            ten_fold_accuracy(distances, same)
            took.append(time.process_time() - start)
        assert min(took) < 0.2

    def test_mistakes(self):
        with pytest.raises(VerificationError, match="9 pairs cannot be cut into 10 folds"):
            ten_fold_accuracy(np.zeros(9), np.ones(9, bool))
        with pytest.raises(VerificationError, match="distance 3 is nan"):
            ten_fold_accuracy(np.array([0, 1, 2, np.nan]), np.ones(4, bool), folds=2)


class TestTarAtFar:
    negatives = np.array([0.1, 0.2, 0.3, 0.3, 0.5])
    positives = np.array([0.05, 0.2, 0.3, 0.4, 0.5, 0.6])

    @pytest.mark.parametrize(
        ("far", "tar", "threshold"),
        [
            # One impostor of five may pass: the 0.5; as high as the next, 0.3, is refused.
            (0.2, 3 / 6, 0.3),
            # Two may, but the second and the third are equal: both stay out.
            (0.4, 3 / 6, 0.3),
            (0.6, 4 / 6, 0.2),
            (0.8, 5 / 6, 0.1),
            (0.99, 5 / 6, 0.1),
            (1, 1, -np.inf),
        ],
    )
    def test_by_hand(self, far, tar, threshold):
        (point,) = tar_at_far(self.positives, self.negatives, [far])
        assert (point.far, point.tar, point.threshold) == (far, tar, threshold)

    def test_what_cannot_be_measured(self):
        points = tar_at_far(self.positives, self.negatives, [0.19, 0.2])
        assert [point.tar for point in points] == [None, 0.5]
        assert points[0].threshold is None
        assert tar_at_far(self.positives, np.zeros(0), [0.1])[0].tar is None

    def test_the_decimal_number_is_meant(self):
        negatives = np.arange(100.0)
        # 0.29 * 100 is 28.999999999999996 in float64.
        (point,) = tar_at_far(np.array([70.5]), negatives, [0.29])
        assert point.threshold == 70

    def test_against_counting(self):
        for seed in range(20):
            random = np.random.default_rng(seed)
            positives = np.round(random.normal(1, 1, 31), 1).astype(np.float32)
            negatives = np.round(random.normal(0, 1, 40), 1).astype(np.float32)
            fars = [0.025, 0.05, 0.1, 0.33, 0.5, 1.0]
            for point in tar_at_far(positives, negatives, fars):
                assert point.tar == plain_tar(positives, negatives, point.far)

    def test_the_highest_impostors_alone(self):
        random = np.random.default_rng(0)
        positives, negatives = random.normal(2, 1, 100), random.normal(0, 1, 1000)
        fars = [1e-3, 1e-2, 0.05]
        highest = np.sort(negatives)[-51:]
        random.shuffle(highest)
        found = tar_at_far(positives, highest, fars, impostors=1000)
        assert found == tar_at_far(positives, negatives, fars)
        with pytest.raises(VerificationError, match=r"0.05 needs the 51 highest"):
            tar_at_far(positives, highest[1:], fars, impostors=1000)

    def test_mistakes(self):
        with pytest.raises(VerificationError, match="no genuine pair"):
            tar_at_far(np.zeros(0), self.negatives, [0.5])
        with pytest.raises(VerificationError, match="FAR is 0; it is a share above 0"):
            tar_at_far(self.positives, self.negatives, [0])
        with pytest.raises(VerificationError, match="similarity of impostor pairs 1 is inf"):
            tar_at_far(self.positives, np.array([0, np.inf]), [0.5])


class TestRocCurve:
    def test_by_hand(self):
        curve = roc_curve(TestTarAtFar.positives, TestTarAtFar.negatives)
        assert curve.far == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
        assert curve.tar == pytest.approx([3 / 6, 3 / 6, 4 / 6, 5 / 6, 1])
        assert (curve.genuine, curve.impostors) == (6, 5)

    def test_many_pairs_give_few_points_on_the_same_curve(self):
        random = np.random.default_rng(0)
        positives, negatives = random.normal(2, 1, 1000), random.normal(0, 1, 20_000)
        curve = roc_curve(positives, negatives, points=50)
        assert 30 < len(curve.far) <= 50
        assert curve.far[0] == 1 / 20_000
        assert curve.far[-1] == 1
        assert (np.diff(curve.far) > 0).all()
        assert (np.diff(curve.tar) >= 0).all()
        expected = [point.tar for point in tar_at_far(positives, negatives, curve.far.tolist())]
        assert curve.tar.tolist() == expected

    def test_no_impostors(self):
        with pytest.raises(VerificationError, match="no impostor pair"):
            roc_curve(np.ones(3), np.zeros(0))


@pytest.mark.parametrize(
    ("far", "name"), [(1e-4, "1e-04"), (1e-6, "1e-06"), (0.025, "2.5e-02"), (1, "1e+00")]
)
def test_names_of_rates(far, name):
    assert far_name(far) == name
