"""Ratios of weights that no model is built for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from normlib.analysis.ratio_record import (
    RatioRecord,
    RatioRecordError,
    RecordedLayer,
    from_flat,
    part_of,
)
from normlib.functional import NORMALIZERS, sparsestmax

_MEAN, _VAR = "mean_weight", "var_weight"


def ratios_in(state: Mapping[str, Any], source: str, iteration: int = 0) -> RatioRecord:
    """The ratios of a state dict, as a record of one moment.

    A layer whose state has a radius is taken for a sparse one, any other for SN: its ratios are the
    softmax of the control parameters, which is one-hot also where they are those of a settled
    sparse layer. The notes of the record say what had to be assumed.

    Args:
        state: Weights with the keys of this project.
        source: Where they come from.
        iteration: Iterations that they were trained for.

    Raises:
        RatioRecordError: There is no switchable norm, or a control parameter is no vector of 1 to 3
            numbers.
    """
    names = [key.removesuffix(f".{_MEAN}") for key in state if key.endswith(f".{_MEAN}")]
    if not names:
        raise RatioRecordError(
            f"{source} has no switchable norms: no key of its {len(state)} weights ends in {_MEAN}"
        )
    layers: list[RecordedLayer] = []
    means: list[Tensor] = []
    variances: list[Tensor] = []
    for name in names:
        radius = state.get(f"{name}.radius")
        pair = [_vector(state, f"{name}.{key}", source) for key in (_MEAN, _VAR)]
        normalizers = _normalizers(len(pair[0]), f"{name}.running_mean" in state)
        kind = "SN" if radius is None else "SSN"
        weight = state.get(f"{name}.weight")
        channels = weight.numel() if isinstance(weight, Tensor) else None
        layers.append(RecordedLayer(name, part_of(name), kind, normalizers, channels))
        for logits, found in zip(pair, (means, variances), strict=True):
            found.append(logits.softmax(-1) if radius is None else sparsestmax(logits, radius))
    flat = torch.cat(means + variances).numpy()[None]
    return from_flat(
        layers, np.array([iteration]), flat, source=source, notes=tuple(_notes(layers, source))
    )


def _vector(state: Mapping[str, Any], key: str, source: str) -> Tensor:
    value = state.get(key)
    if not isinstance(value, Tensor) or not 1 <= value.numel() <= len(NORMALIZERS):
        found = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else "missing"
        raise RatioRecordError(
            f"{source}: {key} is {found}; it must be a vector of 1 to {len(NORMALIZERS)} numbers"
        )
    return value.detach().float().reshape(-1)


def _normalizers(count: int, has_batch_statistics: bool) -> tuple[str, ...]:
    """The statistics that a layer mixes; of two or one, those that authors leave."""
    if count == len(NORMALIZERS):
        return NORMALIZERS
    if count == 2:
        return ("ln", "bn") if has_batch_statistics else ("in", "ln")
    return ("bn",) if has_batch_statistics else ("ln",)


def _notes(layers: list[RecordedLayer], source: str) -> list[str]:
    notes = []
    if soft := sum(not layer.is_sparse for layer in layers):
        notes.append(
            f"{source} has no radius for {soft} of {len(layers)} layers: softmax is assumed, which "
            "holds for SN and for settled layers of SSN"
        )
    if fewer := [layer for layer in layers if len(layer.normalizers) < len(NORMALIZERS)]:
        notes.append(
            f"{source} does not say which statistics {len(fewer)} of {len(layers)} layers mix: for "
            f"{fewer[0].name}, {' and '.join(fewer[0].normalizers)} is assumed"
        )
    return notes
