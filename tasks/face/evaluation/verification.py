"""Do two images show one person? Accuracy by ten folds, and true accepts at a rate of false ones.

Whatever is compared, the protocol is: a pair is accepted as the same person where its similarity is
strictly above a threshold, or its distance strictly below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

_PAIRS = 4096  # at a time, to bound the memory
# Of the squared distance of unit vectors, which is between 0 and 4.
THRESHOLDS = np.arange(0, 4, 0.01)


class VerificationError(ValueError):
    """What is to be measured cannot be."""


@dataclass(frozen=True)
class FoldAccuracy:
    """Accuracy of the LFW protocol.

    Attributes:
        accuracies: Of every fold, float64 of shape (folds,), as shares.
        thresholds: Squared distances below which every fold's pairs were accepted, chosen on the
            other folds; float64 of shape (folds,).
        threshold: The first of `THRESHOLDS` with the highest accuracy over all pairs.
    """

    accuracies: np.ndarray
    thresholds: np.ndarray
    threshold: float

    @property
    def mean(self) -> float:
        """Mean accuracy of the folds, a share."""
        return float(self.accuracies.mean())

    @property
    def std(self) -> float:
        """Standard deviation of the folds' accuracies (of the population, as LFW reports it)."""
        return float(self.accuracies.std())


@dataclass(frozen=True)
class OperatingPoint:
    """What one rate of false accepts allows.

    Attributes:
        far: The highest allowed share of impostor pairs that are accepted.
        tar: Share of genuine pairs that are accepted at the lowest threshold that keeps to `far`.
            None where `far` is below one impostor pair, so that it cannot be measured.
        threshold: Pairs with a higher similarity are accepted; None where `tar` is.
    """

    far: float
    tar: float | None
    threshold: float | None


@dataclass(frozen=True)
class RocCurve:
    """True accepts over false ones.

    Attributes:
        far: Allowed shares of accepted impostor pairs, float64 of shape (points,), rising from
            1 / impostors to 1.
        tar: Share of genuine pairs accepted at each, float64 of shape (points,).
        genuine: Number of genuine pairs.
        impostors: Number of impostor pairs.
    """

    far: np.ndarray
    tar: np.ndarray
    genuine: int
    impostors: int


def squared_distances(embeddings: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Squared Euclidean distance of the L2-normalised embeddings of pairs: 2 - 2 cos.

    Args:
        embeddings: Of shape (N, D), float; normalised here, in float64.
        pairs: int64 of shape (P, 2), rows of `embeddings`.

    Returns:
        float64 of shape (P,), between 0 and 4. An embedding of zeros stays one.
    """
    norms = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings, dtype=np.float64))
    scales = 1 / np.maximum(norms, np.finfo(np.float64).tiny)
    distances = np.empty(len(pairs))
    for start in range(0, len(pairs), _PAIRS):
        one, other = (
            embeddings[rows] * scales[rows, None] for rows in pairs[start : start + _PAIRS].T
        )
        difference = one - other
        distances[start : start + _PAIRS] = np.einsum("pd,pd->p", difference, difference)
    return distances


def ten_fold_accuracy(distances: np.ndarray, same: np.ndarray, folds: int = 10) -> FoldAccuracy:
    """Accuracy as LFW reports it (Huang et al. 2007), and FaceNet and InsightFace compute it.

    The pairs are cut in their order into folds of equal size (the first ones have a pair more where
    they do not come out even). The pairs of each are accepted below the threshold, of 0, 0.01 ...
    3.99, that is right for most pairs of all other folds, the first of several.

    Args:
        distances: Squared distances of shape (P,), see :func:`squared_distances`.
        same: bool of shape (P,), whether a pair is of one person.
        folds: Their number.

    Raises:
        VerificationError: There are fewer pairs than folds, or a distance is not a number.
    """
    same = np.asarray(same, bool)
    count = len(distances)
    if folds < 2 or count < folds:
        raise VerificationError(f"{count} pairs cannot be cut into {folds} folds; at least 2 of 1")
    _check_finite(distances, "distance")
    sizes = np.full(folds, count // folds)
    sizes[: count % folds] += 1
    fold = np.repeat(np.arange(folds), sizes)
    # A pair is accepted from the first threshold above its distance on.
    first = np.searchsorted(THRESHOLDS, distances, side="right")
    shape = folds, len(THRESHOLDS) + 1
    accepted, refused = (
        np.bincount((fold * shape[1] + first)[chosen], minlength=shape[0] * shape[1])
        .reshape(shape)[:, :-1]
        .cumsum(1)
        for chosen in (same, ~same)
    )
    others = np.bincount(fold[~same], minlength=folds)[:, None]
    right = accepted + others - refused
    best = (right.sum(0) - right).argmax(1)
    return FoldAccuracy(
        right[np.arange(folds), best] / sizes,
        THRESHOLDS[best],
        float(THRESHOLDS[right.sum(0).argmax()]),
    )


def tar_at_far(
    positives: np.ndarray,
    negatives: np.ndarray,
    fars: Sequence[float],
    impostors: int | None = None,
) -> list[OperatingPoint]:
    """Share of genuine pairs accepted where at most a share `far` of impostor pairs is.

    A pair is accepted where its similarity is > t; t is the lowest threshold at which at most
    floor(far * impostors) impostor pairs are accepted, that is the similarity of the next impostor
    pair. Genuine pairs as similar as that one are therefore refused.

    Args:
        positives: Similarities of genuine pairs, float of shape (P,), at least one.
        negatives: Similarities of impostor pairs, float of shape (N,).
        fars: Shares above 0, up to 1.
        impostors: Number of impostor pairs, where `negatives` are the highest of them alone: at
            least one more than the largest far allows.

    Raises:
        VerificationError: There are no genuine pairs, too few of the impostors' similarities, a far
            is out of range, or a similarity is not a number.
    """
    impostors = len(negatives) if impostors is None else impostors
    allowed = [_allowed(far, impostors) for far in fars]
    needed = max(min(count + 1, impostors) for count in allowed) if allowed else 0
    if len(negatives) < needed:
        raise VerificationError(
            f"{len(negatives)} of {impostors} impostor similarities are given; a FAR of "
            f"{max(fars):g} needs the {needed} highest"
        )
    positives, negatives = _ascending(positives, "genuine"), _ascending(negatives, "impostor")
    tars, thresholds = _accepted(positives, negatives, np.array(allowed, np.int64))
    return [
        OperatingPoint(far, tar, threshold) if count else OperatingPoint(far, None, None)
        for far, count, tar, threshold in zip(
            fars, allowed, tars.tolist(), thresholds.tolist(), strict=True
        )
    ]


def roc_curve(positives: np.ndarray, negatives: np.ndarray, points: int = 500) -> RocCurve:
    """The receiver operating characteristic, see :func:`tar_at_far`.

    Args:
        positives: Similarities of genuine pairs, float of shape (P,), at least one.
        negatives: Similarities of impostor pairs, float of shape (N,), at least one.
        points: About as many points at most, evenly spread over the logarithm of the FAR; all,
            where there are no more impostor pairs.

    Raises:
        VerificationError: There are no pairs of one kind, or a similarity is not a number.
    """
    positives, negatives = _ascending(positives, "genuine"), _ascending(negatives, "impostor")
    if not len(negatives):
        raise VerificationError("there is no impostor pair, so that there is no rate of accepting")
    if len(negatives) <= points:
        allowed = np.arange(1, len(negatives) + 1)
    else:
        allowed = np.unique(np.geomspace(1, len(negatives), points).round().astype(np.int64))
    tars, _ = _accepted(positives, negatives, allowed)
    return RocCurve(allowed / len(negatives), tars, len(positives), len(negatives))


def far_name(far: float) -> str:
    """A FAR as metrics are named after it: 1e-04, 2.5e-05."""
    texts = (f"{far:.{digits}e}" for digits in range(17))
    return next(text for text in texts if float(text) == far)


def _allowed(far: float, impostors: int) -> int:
    """Number of impostor pairs that may be accepted, of the decimal number that is meant."""
    if not 0 < far <= 1:
        raise VerificationError(f"a FAR is {far!r}; it is a share above 0, up to 1, such as 1e-4")
    return int(Fraction(str(float(far))) * impostors)


def _ascending(similarities: np.ndarray, kind: str) -> np.ndarray:
    similarities = np.asarray(similarities)
    if kind == "genuine" and not len(similarities):
        raise VerificationError("there is no genuine pair, so that there is no rate of accepting")
    _check_finite(similarities, f"similarity of {kind} pairs")
    return np.sort(similarities)


def _check_finite(values: np.ndarray, what: str) -> None:
    for place in np.flatnonzero(~np.isfinite(values)):
        raise VerificationError(f"{what} {place} is {values[place]}; it has to be a number")


def _accepted(
    positives: np.ndarray, negatives: np.ndarray, allowed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Shares of genuine pairs accepted, and the thresholds, for numbers of impostors allowed.

    Both kinds of similarities ascend.
    """
    thresholds = np.full(len(allowed), -np.inf)
    bounded = allowed < len(negatives)
    thresholds[bounded] = negatives[len(negatives) - 1 - allowed[bounded]]
    above = len(positives) - np.searchsorted(positives, thresholds, side="right")
    return above / len(positives), thresholds
