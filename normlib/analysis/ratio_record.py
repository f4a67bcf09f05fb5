"""Importance ratios of the layers of a network at some moments of its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlib.functional import NORMALIZERS

#: Name of a record in the folder of a run.
FILE_NAME = "ratios.bin"


class RatioRecordError(ValueError):
    """Ratios cannot be read, or do not allow what is asked of them."""


@dataclass(frozen=True)
class RecordedLayer:
    """A switchable norm.

    Attributes:
        name: Of the module in its model.
        part: Of the network, see :func:`part_of`.
        kind: ``'SN'``, ``'SyncSN'``, ``'SSN'`` or ``'SyncSSN'``, or the name of another class.
        normalizers: The statistics that it mixes.
        channels: Number of channels, None where it is not known.
        receptive_field: Pixels of the network's input, along one side, that a position of the
            layer's input depends on; None where it is not known or not bounded.
        stride: Pixels of the network's input between neighbouring positions; None likewise.
    """

    name: str
    part: str
    kind: str
    normalizers: tuple[str, ...]
    channels: int | None
    receptive_field: int | None = None
    stride: int | None = None

    @property
    def is_sparse(self) -> bool:
        """Whether its ratios are meant to become one-hot."""
        return self.kind.endswith("SSN")


@dataclass(frozen=True, eq=False)
class RatioRecord:
    """Ratios of L layers at T moments.

    Attributes:
        layers: The layers, in the order of the model.
        iterations: Iterations that were done at each moment, ascending; int64, shape (T,).
        means: Ratios of the means, float32, shape (T, L, 3), in the order of
            ``normlib.functional.NORMALIZERS``; 0 where a layer lacks the statistics.
        variances: Ratios of the variances, likewise.
        max_iters: Iterations that were planned, None where that is not known.
        source: Where the ratios come from.
        notes: What had to be assumed, in sentences.
    """

    layers: tuple[RecordedLayer, ...]
    iterations: NDArray[np.int64]
    means: NDArray[np.float32]
    variances: NDArray[np.float32]
    max_iters: int | None = None
    source: str = ""
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the network, in the order of the model."""
        return tuple(dict.fromkeys(layer.part for layer in self.layers))

    @property
    def is_sparse(self) -> bool:
        """Whether there is a sparse layer."""
        return any(layer.is_sparse for layer in self.layers)

    def part(self, name: str) -> RatioRecord:
        """The layers of one part.

        Raises:
            RatioRecordError: There is no such part.
        """
        places = [k for k, layer in enumerate(self.layers) if layer.part == name]
        if not places:
            raise RatioRecordError(
                f"{self.source} has no layers in a part {name!r}; it has {', '.join(self.parts)}"
            )
        return self.select(places)

    def select(self, places: Sequence[int]) -> RatioRecord:
        """Some layers, by their places, in the order given."""
        return replace(
            self,
            layers=tuple(self.layers[k] for k in places),
            means=self.means[:, places],
            variances=self.variances[:, places],
        )

    def at(self, *moments: int) -> RatioRecord:
        """Some moments, in the order given, from 0 on; negative numbers count from the last."""
        chosen = [range(len(self.iterations))[moment] for moment in moments]
        return replace(
            self,
            iterations=self.iterations[chosen],
            means=self.means[chosen],
            variances=self.variances[chosen],
        )


def part_of(name: str) -> str:
    """The part of a network that a module belongs to: the first component of its name.

    All heads are one part, ``'head'``, and modules at the top are of the part ``'model'``.
    """
    first, dot, _ = name.partition(".")
    if not dot:
        return "model"
    return "head" if first.endswith("head") else first


def from_flat(
    layers: Sequence[RecordedLayer],
    iterations: NDArray[np.int64],
    flat: NDArray[np.float32],
    **others: Any,
) -> RatioRecord:
    """A record from the ratios that layers have.

    Args:
        layers: The layers.
        iterations: See :class:`RatioRecord`.
        flat: Shape (T, :func:`flat_size`): the mean ratios of one layer after the other, each as
            many as it has normalizers, then the variance ratios.
        **others: Other attributes of the record.
    """
    columns = [
        3 * place + NORMALIZERS.index(name)
        for place, layer in enumerate(layers)
        for name in layer.normalizers
    ]
    wide = np.zeros((2, len(flat), 3 * len(layers)), np.float32)
    wide[0][:, columns], wide[1][:, columns] = np.split(flat, 2, axis=1)
    means, variances = wide.reshape(2, len(flat), len(layers), 3)
    return RatioRecord(tuple(layers), iterations, means, variances, **others)


def flat_size(layers: Sequence[RecordedLayer]) -> int:
    """How many ratios layers have, of means and variances."""
    return 2 * sum(len(layer.normalizers) for layer in layers)
