"""Starting a model with switchable norms from weights that were trained with batch norm."""

from __future__ import annotations

import copy
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from normlib.layers.switch_norm import Choice, SwitchNorm, switch_norm_layers

_AFFINE = ("weight", "bias")
_RUNNING = ("running_mean", "running_var")
_COUNT = "num_batches_tracked"


class Converted(NamedTuple):
    """A state dict for a model with switchable norms.

    Attributes:
        state: The weights; what is no norm is as it was.
        layers: Name of each layer that was a batch norm, and of its batch norm in the file.
    """

    state: OrderedDict[str, Any]
    layers: dict[str, str]


def check_ratios(ratios: str | float) -> None:
    """Raise a ValueError if ``ratios`` is not what :func:`start_ratios` takes."""
    if isinstance(ratios, str):
        known = ratios in ("uniform", "bn")
    else:
        number = isinstance(ratios, int | float) and not isinstance(ratios, bool)
        known = number and 0 < ratios < 1
    if not known:
        raise ValueError(
            f"ratios are to start at {ratios!r}; it must be 'uniform', 'bn' (all on batch "
            "statistics) or the ratio of batch statistics, a number between 0 and 1"
        )


@torch.no_grad()
def start_ratios(layer: SwitchNorm, ratios: str | float) -> None:
    """Set the ratios of a layer, of means and of variances alike.

    Args:
        layer: The layer; gamma, beta and running statistics stay as they are. The radius of a
            sparse layer goes to 0, where ratios are softest.
        ratios: ``'uniform'`` for equal ratios; ``'bn'`` to settle on batch statistics, so that the
            layer computes what batch norm does; a number in (0, 1) for the ratio of batch
            statistics, the others sharing the rest.

    Raises:
        ValueError: ``ratios`` is none of these, or names batch statistics that the layer lacks.
    """
    check_ratios(ratios)
    if ratios != "uniform" and "bn" not in layer.normalizers:
        raise ValueError(
            f"ratios are to start at {ratios!r}, which is about batch statistics, and the layer "
            f"has none (normalizers={layer.normalizers}); 'uniform' is possible"
        )
    parameters = (layer.mean_weight, layer.var_weight)
    if "radius" in layer._buffers:
        layer.get_buffer("radius").zero_()
    layer.choice = Choice(None, None)
    others = len(layer.normalizers) - 1
    if ratios == "bn":
        layer.settle(Choice("bn", "bn"))
    elif isinstance(ratios, str) or others == 0:
        for logits in parameters:
            logits.fill_(1)
    else:
        for logits in parameters:
            soft = torch.full_like(logits, (1 - ratios) / max(others, 1))
            soft[layer.normalizers.index("bn")] = ratios
            logits.copy_(layer._logits_of(soft))


def to_switch_norm(
    state: Mapping[str, Any], model: nn.Module, ratios: str | float = "uniform"
) -> Converted:
    """Turn the batch norms of a state dict into the switchable norms that a model has instead.

    Gamma, beta and running statistics are taken over. A switchable norm corresponds to the batch
    norm of the same name, or else to the one of the same module whose name differs in the leading
    letters only (``sn1`` and ``bn1``), or else, where a module has as many of the one as of the
    other, to the one at the same place in the order of both.

    Args:
        state: Weights of the model with batch norm.
        model: The model with switchable norms, which is not changed.
        ratios: See :func:`start_ratios`.

    Raises:
        ValueError: ``ratios`` is out of range, or about statistics that a layer lacks.
    """
    check_ratios(ratios)
    pairs = _pairs(state, model)
    result = OrderedDict(state)
    for batch_norm in pairs.values():
        for parameter in (*_AFFINE, *_RUNNING, _COUNT):
            result.pop(f"{batch_norm}.{parameter}", None)
    for name, batch_norm in pairs.items():
        layer = model.get_submodule(name)
        assert isinstance(layer, SwitchNorm)
        result.update(_converted(state, batch_norm, name, layer, ratios))
    if hasattr(state, "_metadata"):
        result._metadata = state._metadata  # type: ignore[attr-defined]
    return Converted(result, pairs)


def _converted(
    state: Mapping[str, Any], batch_norm: str, name: str, layer: SwitchNorm, ratios: str | float
) -> dict[str, Tensor]:
    twin = copy.deepcopy(layer)
    try:
        start_ratios(twin, ratios)
    except ValueError as error:
        raise ValueError(f"layer {name}: {error}") from error
    own = twin.state_dict()
    taken = [*_AFFINE, *(_RUNNING if "bn" in layer.normalizers else ())]
    values = {key: state[f"{batch_norm}.{key}"] for key in taken if f"{batch_norm}.{key}" in state}
    if _COUNT in own:
        values[_COUNT] = torch.as_tensor(state.get(f"{batch_norm}.{_COUNT}", 0)).to(own[_COUNT])
    values.update((key, own[key]) for key in ("mean_weight", "var_weight", "radius") if key in own)
    return {f"{name}.{key}": value for key, value in values.items()}


def _pairs(state: Mapping[str, Any], model: nn.Module) -> dict[str, str]:
    """Names of switchable norms that the state dict lacks, and of their batch norms in it."""
    layers = {
        name: layer
        for name, layer in switch_norm_layers(model)
        if f"{name}.mean_weight" not in state
    }
    free = _batch_norms(state)
    pairs = {}
    for name in layers:
        if name in free:
            pairs[name] = name
            free.remove(name)
    # Names that a module of another kind has in the model are not batch norms gone missing.
    taken = {name for name, _ in model.named_modules()}
    free = [name for name in free if name not in taken]
    for name in [name for name in layers if name not in pairs]:
        alike = [other for other in free if _stem(other) == _stem(name)]
        if len(alike) == 1:
            pairs[name] = alike[0]
            free.remove(alike[0])
    left = [name for name in layers if name not in pairs]
    for parent in dict.fromkeys(_parent(name) for name in left):
        here = [name for name in left if _parent(name) == parent]
        there = [name for name in free if _parent(name) == parent]
        if _sizes(here, layers) == [state[f"{n}.running_mean"].numel() for n in there]:
            pairs.update(zip(here, there, strict=True))
    return {name: pairs[name] for name in layers if name in pairs}


def _batch_norms(state: Mapping[str, Any]) -> list[str]:
    """Modules that hold running statistics and no control parameters, in the file's order."""
    suffix = ".running_mean"
    names = [key.removesuffix(suffix) for key in state if key.endswith(suffix)]
    return [
        name
        for name in names
        if f"{name}.running_var" in state and f"{name}.mean_weight" not in state
    ]


def _sizes(names: Sequence[str], layers: Mapping[str, SwitchNorm]) -> list[int]:
    return [layers[name].num_features for name in names]


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _stem(name: str) -> tuple[str, str]:
    """The module around a norm, and what follows the letters that say which norm it is."""
    parent, _, attribute = name.rpartition(".")
    return parent, re.sub(r"^[a-zA-Z]+", "", attribute)
