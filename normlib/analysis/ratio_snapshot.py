"""Ratios of a live model."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from normlib.analysis.ratio_record import RatioRecord, RecordedLayer, from_flat, part_of
from normlib.host_copy import HostCopy
from normlib.layers import (
    SparseSwitchNorm,
    SwitchNorm,
    SyncSparseSwitchNorm,
    SyncSwitchNorm,
    switch_norm_layers,
)

_KINDS = {
    SwitchNorm: "SN",
    SyncSwitchNorm: "SyncSN",
    SparseSwitchNorm: "SSN",
    SyncSparseSwitchNorm: "SyncSSN",
}


def ratios_of(model: nn.Module, iteration: int = 0) -> RatioRecord:
    """The ratios that a model has now, as a record of one moment.

    Args:
        model: Any module.
        iteration: Iterations that it was trained for.
    """
    recorder = RatioRecorder(model)
    flat = recorder.snapshot().flat()[None]
    return from_flat(recorder.layers, np.array([iteration]), flat, source=type(model).__name__)


class RatioRecorder:
    """Takes the ratios of all switchable norms of a model, again and again.

    Args:
        model: Any module, whose norms stay the ones that they are.

    Attributes:
        layers: The norms.
    """

    def __init__(self, model: nn.Module) -> None:
        named = list(switch_norm_layers(model))
        self.layers = [_described(name, layer) for name, layer in named]
        self._modules = [layer for _, layer in named]
        self._groups = _groups(self._modules)

    def locate(self, fields: Mapping[str, tuple[int, int] | None]) -> None:
        """Take note of what :func:`normlib.analysis.receptive_field.receptive_fields` found."""
        self.layers = [
            replace(layer, receptive_field=found[0], stride=found[1])
            if (found := fields.get(layer.name))
            else layer
            for layer in self.layers
        ]

    def snapshot(self) -> RatioSnapshot:
        """The ratios of this moment; does not wait for the device."""
        return RatioSnapshot(self._modules, self._groups)


class RatioSnapshot:
    """Ratios of some layers at one moment, on their way to the host."""

    def __init__(self, layers: Sequence[SwitchNorm], groups: Sequence[_Group]) -> None:
        self._layers = layers
        self._groups = groups
        self._choices = [layer.choice for layer in layers]
        numbers: list[Tensor] = [layer.mean_weight for layer in layers]
        numbers += [layer.var_weight for layer in layers]
        if radii := [layer.radius for layer in layers if isinstance(layer, SparseSwitchNorm)]:
            numbers.append(torch.stack(radii))
        with torch.no_grad():
            self._copy = HostCopy(torch.cat(numbers))

    def flat(self) -> NDArray[np.float32]:
        """The ratios in the order of :func:`normlib.analysis.ratio_record.from_flat`."""
        numbers = self._copy.wait().float()
        ratios = numbers[: 2 * sum(len(layer.normalizers) for layer in self._layers)].clone()
        for group in self._groups:
            group.put_ratios(numbers, ratios)
        flat: NDArray[np.float32] = ratios.numpy()
        self._settle(flat)
        return flat

    def _settle(self, flat: NDArray[np.float32]) -> None:
        """Make settled ratios one-hot, whatever an optimizer did to the control parameters."""
        place = 0
        for statistics in range(2):
            for layer, choice in zip(self._layers, self._choices, strict=True):
                count = len(layer.normalizers)
                if (chosen := choice[statistics]) is not None:
                    flat[place : place + count] = [name == chosen for name in layer.normalizers]
                place += count


class _Group:
    """Layers of one class with as many normalizers, whose ratios are computed at a time.

    Args:
        twin: One of them, on the host.
        places: Of their ratio vectors, means and variances, among all ratios; shape (n, K).
        radii: Places of the radius of each vector among all numbers, shape (n,); None for layers
            without.
    """

    def __init__(self, twin: SwitchNorm, places: Tensor, radii: Tensor | None) -> None:
        self._twin = twin
        self._places = places
        self._radii = radii

    def put_ratios(self, numbers: Tensor, ratios: Tensor) -> None:
        """Compute the ratios of these layers from the numbers of all."""
        twin = self._twin
        if not isinstance(twin, SparseSwitchNorm) or self._radii is None:
            ratios[self._places] = twin.ratio_function(numbers[self._places])
            return
        radii = numbers[self._radii]
        for radius in radii.unique():
            places = self._places[radii == radius]
            twin.radius.copy_(radius)
            ratios[places] = twin.ratio_function(numbers[places])


def _groups(layers: Sequence[SwitchNorm]) -> list[_Group]:
    sizes = [len(layer.normalizers) for layer in layers]
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    sparse = [k for k, layer in enumerate(layers) if isinstance(layer, SparseSwitchNorm)]
    members = defaultdict(list)
    for k, layer in enumerate(layers):
        members[type(layer), sizes[k]].append(k)
    groups = []
    for (_, size), group in members.items():
        firsts = torch.tensor([starts[k] + half for half in (0, sum(sizes)) for k in group])
        places = firsts[:, None] + torch.arange(size)
        radii = None
        if group[0] in sparse:
            radii = torch.tensor([2 * sum(sizes) + sparse.index(k) for k in group]).repeat(2)
        groups.append(_Group(copy.deepcopy(layers[group[0]]).cpu(), places, radii))
    return groups


def _described(name: str, layer: SwitchNorm) -> RecordedLayer:
    kind = next((_KINDS[cls] for cls in type(layer).__mro__ if cls in _KINDS), "SN")
    return RecordedLayer(name, part_of(name), kind, layer.normalizers, layer.num_features)
