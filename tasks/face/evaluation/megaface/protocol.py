"""Identification and verification as in MegaFace challenge 1 (Kemelmacher-Shlizerman et al. 2016).

Identification: for each ordered pair (i, j) of images of one person, j is put among the distractors
and probe i is compared with all of them. The rank of j is 1 + the number of distractors at least as
similar to i as j is: a distractor that is just as similar counts against it. The rank-k rate is the
share of pairs of rank k or better.

Verification: genuine pairs are the unordered pairs of images of one person, impostor pairs all
pairs of a probe and a distractor. TAR at FAR is that of `tar_at_far`.

Published figures name neither the metric nor the protocol, of which two are in use, so that both
are measured here. Without lists of noise, all images count. With them ("cleaned", InsightFace's
`remove_noises.py`), a noisy probe is replaced by the mean of the person's others, see
`Probes.replace_noisy`, and so counts as all but perfectly matched; a noisy distractor is excluded,
where the original moves it so far away that it matches nothing. The original thus counts pairs with
it as impostors that are refused, which raises the number of impostor pairs by some 0.07 per cent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from tasks.face.evaluation.verification import (
    OperatingPoint,
    VerificationError,
    far_name,
    tar_at_far,
)

from .matching import Matches, match
from .pairs import GenuinePairs
from .probes import Probes, check_dimensions
from .rows import UnitRows
from .sets import DistractorSet, chains, segments

FARS = (1e-4, 1e-5, 1e-6)
# Ten a decade, for curves.
_CURVE = [float(f"{mantissa}e-{power}") for power in range(10, 0, -1) for mantissa in range(1, 10)]


@dataclass(frozen=True)
class SetResult:
    """How probes fare among the distractors of one set.

    Attributes:
        name: Of the set.
        size: That it is known by.
        distractors: That were matched: those of the set that are not excluded.
        pairs: Ordered genuine pairs.
        impostors: Impostor pairs.
        cmc: Rank-k rates, as shares, for k of 1, 10, 100 and so on up to the last rank.
        tars: At each of the rates asked for.
        curve: At rates from 1 / `impostors` up to the highest asked for, as far as it goes.
    """

    name: str
    size: int
    distractors: int
    pairs: int
    impostors: int
    cmc: dict[int, float]
    tars: list[OperatingPoint]
    curve: list[OperatingPoint]


def evaluate(
    probes: Probes,
    distractors: UnitRows,
    sets: Sequence[DistractorSet],
    fars: Sequence[float] = FARS,
    device: str | torch.device = "cpu",
    progress: Callable[[int, int, int, int], None] | None = None,
) -> list[SetResult]:
    """Match all probes against all sets; sets that hold each other are served by one pass.

    All processes of the default group share the work, and get the same results.

    Args:
        probes: The probes.
        distractors: Embeddings that the sets choose from.
        sets: At least one.
        fars: Rates of false accepts, shares above 0, up to 1.
        device: Where to compute.
        progress: Told which pass it is, of how many, and how many blocks of it are done by this
            process, of how many.

    Returns:
        One result a set.

    Raises:
        DatasetError: Embeddings are not normalised, or their lengths differ.
        VerificationError: A far is out of range.
    """
    for far in fars:
        if not 0 < far <= 1:
            raise VerificationError(f"a FAR is {far!r}; it is a share above 0, up to 1: 1e-4")
    check_dimensions(probes, distractors)
    on_device = torch.from_numpy(probes.embeddings).to(device)
    pairs = GenuinePairs.of(on_device, probes.people)
    results: dict[int, SetResult] = {}
    passes = chains(sets)
    for number, places in enumerate(passes):
        chosen = [sets[place] for place in places]
        keep = [_needed(max(fars), len(on_device) * len(entry.rows)) for entry in chosen]
        told = None if progress is None else _Told(progress, number + 1, len(passes))
        found = match(on_device, pairs.thresholds, distractors, segments(chosen), keep, told)
        for place, entry, matches in zip(places, chosen, found, strict=True):
            results[place] = _result(entry, pairs, matches, fars, len(on_device))
    return [results[place] for place in range(len(sets))]


def metrics(results: Sequence[SetResult], suffix: str = "") -> dict[str, float]:
    """The figures of the largest size, in per cent: `rank1`, `rank10`, `tar@far=1e-06` and so on.

    Args:
        results: At least one; of several of the largest size the mean counts.
        suffix: Put after the names, such as `_cleaned`.

    Returns:
        The figures; rates that cannot be measured are left out.
    """
    largest = max(result.size for result in results)
    of_size = [figures(result) for result in results if result.size == largest]
    shared = [name for name in of_size[0] if all(name in entry for entry in of_size)]
    return {
        f"{name}{suffix}": float(np.mean([entry[name] for entry in of_size])) for name in shared
    }


def figures(result: SetResult) -> dict[str, float]:
    """The figures of one set, see :func:`metrics`."""
    found = {f"rank{rank}": 100 * result.cmc[rank] for rank in (1, 10) if rank in result.cmc}
    for point in result.tars:
        if point.tar is not None:
            found[f"tar@far={far_name(point.far)}"] = 100 * point.tar
    return found


@dataclass(frozen=True)
class _Told:
    progress: Callable[[int, int, int, int], None]
    number: int
    passes: int

    def __call__(self, done: int, total: int) -> None:
        self.progress(self.number, self.passes, done, total)


def _needed(far: float, impostors: int) -> int:
    """How many of the highest impostor scores `tar_at_far` needs."""
    return min(impostors, int(Fraction(str(float(far))) * impostors) + 1)


def _result(
    entry: DistractorSet, pairs: GenuinePairs, matches: Matches, fars: Sequence[float], probes: int
) -> SetResult:
    ranks = pairs.ranks(matches.counts)
    impostors = probes * matches.distractors
    places = [10**power for power in range(16) if 10**power <= matches.distractors + 1]
    cmc = {place: float(np.mean(ranks <= place)) for place in places}
    points = [far for far in _CURVE if 1 / impostors <= far <= max(fars)]
    wanted = [*fars, *points]
    found = tar_at_far(pairs.scores, matches.highest, wanted, impostors)
    tars, curve = found[: len(fars)], found[len(fars) :]
    return SetResult(
        entry.name, entry.size, matches.distractors, len(ranks), impostors, cmc, tars, curve
    )
