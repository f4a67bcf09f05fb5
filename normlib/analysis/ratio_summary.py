"""Figures that say what the layers of a network have chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from normlib.analysis.ratio_record import RatioRecord, RatioRecordError, RecordedLayer
from normlib.functional import NORMALIZERS

# Stands for a ratio of 0 in a logarithm.
_FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class PartMean:
    """Averages over the layers of one part of a network, each layer counting alike.

    Attributes:
        part: The part.
        layers: How many layers it has.
        mean: Average ratios of the means, shape (3,), in the order of
            ``normlib.functional.NORMALIZERS``.
        mean_spread: Their standard deviation over the layers.
        variance: Average ratios of the variances.
        variance_spread: Their standard deviation over the layers.
    """

    part: str
    layers: int
    mean: NDArray[np.float64]
    mean_spread: NDArray[np.float64]
    variance: NDArray[np.float64]
    variance_spread: NDArray[np.float64]


class Matching(NamedTuple):
    """Layers that two networks share, and those that one of them has.

    Attributes:
        pairs: Places of a layer in the one and the other.
        only_one: Names of further layers of the one.
        only_other: Names of further layers of the other.
    """

    pairs: list[tuple[int, int]]
    only_one: list[str]
    only_other: list[str]


def part_means(record: RatioRecord) -> list[PartMean]:
    """Averages of every part at the last moment of a record."""
    rows = []
    for name in record.parts:
        part = record.part(name)
        means, variances = part.means[-1].astype(float), part.variances[-1].astype(float)
        averages = means.mean(0), means.std(0), variances.mean(0), variances.std(0)
        rows.append(PartMean(name, len(part.layers), *averages))
    return rows


def table(record: RatioRecord) -> list[str]:
    """Lines of a text table of :func:`part_means`."""
    rows = part_means(record)
    width = max(len("part"), *(len(row.part) for row in rows))
    heading = "  ".join(f"{kind} {n:<5}" for kind in ("mean", "var ") for n in NORMALIZERS)
    lines = [f"{'part':{width}}  layers  {heading}".rstrip()]
    for row in rows:
        ratios = "  ".join(f"{ratio:<10.3f}" for ratio in (*row.mean, *row.variance))
        lines.append(f"{row.part:{width}}  {row.layers:>6}  {ratios}".rstrip())
    return lines


def symmetric_kl(record: RatioRecord) -> NDArray[np.float64]:
    """How far the ratios of means and of variances are apart in each layer.

    With the mean ratios p and the variance ratios q of the last moment it is (KL(p||q) +
    KL(q||p)) / 2 = sum((p - q) * log(p / q)) / 2, in nats. Where p and q are sparse that is
    infinite: both are kept at 1e-6 at least, and scaled to sum 1 again, so that two different
    one-hot vectors are 13.8 apart.

    Returns:
        Shape (L,).
    """
    p, q = (
        np.maximum(ratios[-1].astype(float), _FLOOR) for ratios in (record.means, record.variances)
    )
    p, q = p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)
    divergence: NDArray[np.float64] = ((p - q) * np.log(p / q)).sum(-1) / 2
    return divergence


def hard_choices(record: RatioRecord) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """What layers have settled on at every moment, for means and for variances.

    Returns:
        Shape (T, L): the place in ``normlib.functional.NORMALIZERS`` of a ratio that is 1, and -1
        where none is.
    """
    means, variances = (
        np.where(ratios.max(-1) == 1, ratios.argmax(-1), -1).astype(np.int8)
        for ratios in (record.means, record.variances)
    )
    return means, variances


def match_layers(one: RatioRecord, other: RatioRecord) -> Matching:
    """Find the layers that two networks share.

    These are layers of the same name, and then layers of which the name of one ends in that of the
    other (``backbone.layer1.0.bn1`` and ``layer1.0.bn1``), if there is one such layer only.

    Raises:
        RatioRecordError: There is none.
    """
    places = {layer.name: k for k, layer in enumerate(other.layers)}
    found = {k: places.pop(m.name) for k, m in enumerate(one.layers) if m.name in places}
    for k, layer in enumerate(one.layers):
        alike = [name for name in places if k not in found and _one_ends_in_other(layer.name, name)]
        if len(alike) == 1:
            found[k] = places.pop(alike[0])
    if not found:
        raise RatioRecordError(
            f"{one.source} and {other.source} have no layer in common, by their names: one has "
            f"{_some(one.layers)}, the other {_some(other.layers)}"
        )
    rest = [layer.name for k, layer in enumerate(one.layers) if k not in found]
    return Matching(sorted(found.items()), rest, list(places))


def _one_ends_in_other(one: str, other: str) -> bool:
    return f".{one}".endswith(f".{other}") or f".{other}".endswith(f".{one}")


def _some(layers: Sequence[RecordedLayer]) -> str:
    more = f" and {len(layers) - 3} more" if len(layers) > 3 else ""
    return ", ".join(layer.name for layer in layers[:3]) + more
