"""Paired differences: values computed by hand, and how often chance is taken for a difference."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tasks.report.paired import best_norm, paired_difference


def by_seed(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def against_zero(*differences: float):
    return paired_difference(by_seed(*differences), by_seed(*(0.0 for _ in differences)))


def test_only_common_seeds_are_paired():
    found = paired_difference({0: 5.0, 1: 7.0, 2: 100.0}, {1: 6.0, 0: 3.0, 9: -50.0})
    assert (found.pairs, found.mean) == (2, 1.5)


def test_without_a_pair_or_with_one_there_is_no_interval():
    assert paired_difference({0: 1.0}, {1: 1.0}).mean is None
    one = paired_difference({0: 3.0}, {0: 1.0})
    assert (one.pairs, one.mean, one.low, one.chance) == (1, 2.0, None, None)
    assert not one.beyond_noise


@pytest.mark.parametrize(
    ("differences", "low", "high"),
    [
        # The means of two draws are 0, 1 and 2 with probabilities of 1/4, 1/2 and 1/4.
        ((0.0, 2.0), 0.0, 2.0),
        # Only 1 of 27 samples has the mean 0, and 1 of 27 the mean 6: 3.7 % > 2.5 %.
        ((0.0, 3.0, 6.0), 0.0, 6.0),
        ((1.5, 1.5, 1.5, 1.5), 1.5, 1.5),
        # Ten draws hold the 10 at least three times in 7 % of samples, four times in 1.3 %.
        ((10.0, *(0.0,) * 9), 0.0, 3.0),
    ],
)
def test_the_ends_of_the_interval(differences, low, high):
    found = against_zero(*differences)
    assert (found.low, found.high) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("differences", "chance"),
    [
        ((1.0, 3.0), 0.5),  # sums of 4, 2, -2, -4
        ((0.0, 2.0), 1.0),
        ((3.0, 4.0, 5.0, 6.0, 7.0, 8.0), 2 / 64),  # only all + and all -
        ((3.0, 3.0, 3.0, 3.0, 3.0, -1.0), 4 / 64),  # 14 and 16, with both signs
        ((0.1, 0.2, 0.3, 0.1, 0.2, 0.3), 2 / 64),  # equal but for rounding
        ((0.0,) * 6, 1.0),
    ],
)
def test_the_share_of_flipped_signs(differences, chance):
    assert against_zero(*differences).chance == pytest.approx(chance)


def test_many_pairs_are_flipped_at_random():
    values = np.random.default_rng(0).normal(0.0, 1.0, 40)
    found = against_zero(*values)
    # The sum of flipped values is close to normal, with the variance of the sum of squares.
    deviation = abs(values.sum()) / np.sqrt((values**2).sum())
    assert found.chance == pytest.approx(math.erfc(deviation / math.sqrt(2)), abs=0.02)


def test_five_pairs_say_nothing_however_large_the_difference():
    assert not against_zero(*(10.0,) * 5).beyond_noise
    assert against_zero(*(10.0,) * 6).beyond_noise
    assert against_zero(*(-10.0,) * 6).beyond_noise


def test_an_interval_without_zero_is_not_enough():
    found = against_zero(3.0, 3.0, 3.0, 3.0, 3.0, -1.0)
    assert found.low > 0
    assert not found.beyond_noise


def test_the_best_norm_has_to_beat_every_other():
    better = by_seed(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    worse = by_seed(0.0, 1.1, 2.2, 3.0, 4.1, 5.2)
    close = by_seed(0.9, 2.2, 2.8, 4.1, 5.1, 5.8)
    assert best_norm({"BN": worse, "SN": better}) == "SN"
    assert best_norm({"BN": better, "SN": worse}) == "BN"
    assert best_norm({"BN": worse, "SN": better, "SSN": close}) is None
    assert best_norm({"BN": worse, "SN": better, "SSN": {0: -5.0}}) is None
    assert best_norm({"SN": better}) is None
    assert best_norm({"SN": better, "BN": {}}) is None


@pytest.mark.parametrize(("norms", "seeds"), [(2, 6), (2, 10), (5, 6)])
def test_where_nothing_differs_a_best_norm_is_found_in_less_than_5_per_cent(norms, seeds):
    rng = np.random.default_rng(norms * seeds)
    trials = 300
    found = 0
    for _ in range(trials):
        level = rng.normal(0, 3, seeds)  # what a seed does to all norms
        figures = {f"norm {k}": by_seed(*(level + rng.normal(0, 1, seeds))) for k in range(norms)}
        found += best_norm(figures) is not None
    assert found / trials < 0.05


def test_a_large_difference_is_found():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(50):
        level = rng.normal(0, 3, 8)
        figures = {
            "BN": by_seed(*(level + rng.normal(0, 0.5, 8))),
            "SN": by_seed(*(level + 2 + rng.normal(0, 0.5, 8))),
        }
        found += best_norm(figures) == "SN"
    assert found >= 48
