"""Differences between norms over common seeds, and when one may be called the best.

An interval of a handful of pairs is narrower than it should be: the percentile bootstrap knows the
spread of a sample, not how uncertain that spread is. Therefore a difference counts only where an
exact test agrees, which flips the signs of the pairs in every way (Fisher's randomisation test).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.95
# Of fewer pairs all differences have one sign by chance too often: 2^(1 - 5) is 6.25 %.
LEAST_PAIRS = 6
_EXACT_UP_TO = 12  # pairs, 4096 ways to flip
_SEED = 0


@dataclass(frozen=True)
class Difference:
    """What one norm has over another on the same seeds.

    Attributes:
        pairs: Number of common seeds.
        mean: Of the differences; None without a pair.
        low: End of the bootstrap interval; None with fewer than two pairs.
        high: Its other end.
        chance: Share of the ways to flip signs that give as large a mean; None as above.
    """

    pairs: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    chance: float | None = None

    @property
    def beyond_noise(self) -> bool:
        """Whether there are enough pairs, the interval leaves out 0, and the exact test agrees."""
        if self.pairs < LEAST_PAIRS or self.low is None or self.high is None:
            return False
        assert self.chance is not None
        return (self.low > 0 or self.high < 0) and self.chance <= 1 - LEVEL


def paired_difference(
    values: Mapping[int, float], reference: Mapping[int, float], resamples: int = RESAMPLES
) -> Difference:
    """Compares two norms on the seeds that both were trained with.

    Args:
        values: Figure by seed.
        reference: The same of the norm to compare with.
        resamples: Of the bootstrap.
    """
    seeds = sorted(values.keys() & reference.keys())
    differences = np.array([values[seed] - reference[seed] for seed in seeds])
    if not len(differences):
        return Difference(0)
    mean = float(differences.mean())
    if len(differences) == 1:
        return Difference(1, mean)
    low, high = _interval(differences, resamples)
    return Difference(len(differences), mean, low, high, _chance(differences))


def best_norm(figures: Mapping[str, Mapping[int, float]]) -> str | None:
    """The norm whose difference to every other is beyond noise; None where there is no such.

    Args:
        figures: By norm: figure by seed.
    """
    measured = {norm: by_seed for norm, by_seed in figures.items() if by_seed}
    if len(measured) < 2:
        return None
    best = max(measured, key=lambda norm: float(np.mean(list(measured[norm].values()))))
    for norm, by_seed in measured.items():
        if norm == best:
            continue
        difference = paired_difference(measured[best], by_seed)
        if not difference.beyond_noise or difference.mean is None or difference.mean <= 0:
            return None
    return best


def _interval(differences: NDArray[np.float64], resamples: int) -> tuple[float, float]:
    """Percentiles of the means of samples that are drawn from the pairs with replacement."""
    draws = np.random.default_rng(_SEED).integers(
        len(differences), size=(resamples, len(differences))
    )
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(differences[draws].mean(axis=1), [tail, 100 - tail])
    return float(low), float(high)


def _chance(differences: NDArray[np.float64]) -> float:
    count = len(differences)
    if count <= _EXACT_UP_TO:
        signs = 1 - 2 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)
    else:
        signs = np.random.default_rng(_SEED).choice([-1, 1], size=(RESAMPLES, count))
        signs[0] = 1  # what was observed is one of the ways, so that the share is never 0
    sums = np.abs(signs @ differences)
    # Sums that are equal but for rounding count as equal.
    return float(np.mean(sums >= sums[0] * (1 - 1e-12)))
