"""One trained network with several norms, ready to be compared in inference."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from normlib import SwitchNorm, convert, harden, release, switch_norm_layers
from normlib.checkpoint.fold import Folded, fold
from normlib.layers.switch_norm import Choice
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.fused_blocks import fuse_norm_activation

#: What each variant is.
VARIANTS = {
    "BN": "batch norm in place of every switchable norm",
    "BN-folded": "that batch norm folded into the convolutions, the least that norms can cost",
    "SN": "every layer mixes all its statistics, by a softmax",
    "SN-fused": "SN whose layers do the ReLU and the sum after them (fuse_norm_activation)",
    "SSN": "every layer mixes all its statistics, by SparsestMax of radius 0",
    "hard": "every layer takes the one statistic, for means and for variances, of largest ratio",
    "hard-folded": "hard; layers on batch statistics are folded into the convolutions before them",
    "hard-folded-fused": "hard-folded; the rest do the ReLU and the sum where a block has kept all",
}
#: Variants that compute the same.
EQUALS = (
    ("BN", "BN-folded"),
    ("SN", "SN-fused"),
    ("hard", "hard-folded"),
    ("hard-folded", "hard-folded-fused"),
)


@dataclass(frozen=True)
class Variant:
    """A network in evaluation with one kind of norm.

    Attributes:
        model: A network of its own.
        norms: How many norm layers it has of each kind, such as ``{'folded': 12, 'hard ln': 5}``.
        unfolded: For layers on batch statistics that could not be folded where others were, why.
    """

    model: nn.Module
    norms: dict[str, int]
    unfolded: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Variants:
    """The variants of a network.

    Attributes:
        made: By name, in the order of :data:`VARIANTS`.
        left_out: Those that the network does not have, and why.
        learned: Whether the hard ones follow ratios that were learned.
    """

    learned: bool
    made: dict[str, Variant] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def make_variants(
    model: nn.Module, example: Tensor, names: Iterable[str] = VARIANTS, trained: bool = True
) -> Variants:
    """Make copies of a network that differ in their norms.

    Other norms stay as they are; but batch norms of a network without switchable norms count as
    switchable norms that have learned no ratios. Folding is computed, and compared with what was
    folded, in float64.

    Args:
        model: Takes one tensor. It is not changed.
        example: An input, on the device of the model.
        names: Keys of :data:`VARIANTS`.
        trained: Whether ratios have been learned. Otherwise hard layers take the statistics that
            they can in turn, in the order of the model.

    Raises:
        ConfigError: A name is unknown, the network has no norm to switch, or a variant cannot be
            made.
    """
    wanted = set(names)
    if strangers := sorted(wanted - set(VARIANTS)):
        raise ConfigError(f"unknown variant {strangers[0]!r}; variants are {', '.join(VARIANTS)}")
    workshop = _Workshop(model, example, trained)
    variants = Variants(workshop.trained)
    for name in VARIANTS:
        if name in wanted:
            try:
                variants.made[name] = workshop.make(name)
            except _NothingFused:
                variants.left_out[name] = "no norm of this network can do what follows it"
            except (ValueError, RuntimeError) as error:
                raise ConfigError(f"variant {name} cannot be made: {error}") from error
    return variants


class _NothingFused(Exception):
    pass


class _Workshop:
    """Makes variants of one network; what several need is made once."""

    def __init__(self, model: nn.Module, example: Tensor, trained: bool) -> None:
        self.example, self.trained = example, trained
        self.original = copy.deepcopy(model).eval()
        if not any(True for _ in switch_norm_layers(self.original)):
            if not any(isinstance(module, _BatchNorm) for module in self.original.modules()):
                raise ConfigError(
                    "the network has no switchable norm, and no batch norm to put one in the place "
                    "of; choose a config, or a part with --module, that has some"
                )
            self.original, self.trained = convert(self.original, "SN"), False
        for _, layer in switch_norm_layers(self.original):
            layer.dropout = 0.0
        self._folded: dict[str, Folded] = {}

    def make(self, name: str) -> Variant:
        base, *steps = name.split("-")
        if "folded" in steps:
            model, convolutions, kept = self._fold(base)
        else:
            model, convolutions, kept = self._base(base), {}, {}
        if "fused" in steps:
            model = copy.deepcopy(model)
            if not fuse_norm_activation(model):
                raise _NothingFused
        layers = dict(switch_norm_layers(model))
        kinds = Counter({"folded": len(convolutions)} if convolutions else {})
        if base == "BN":
            # The one batch norm for inputs of any number of dimensions; evaluates like the others.
            model = _exchange(model, partial(convert, to="SyncBN"))
            kinds.update(BN=len(layers))
        else:
            kinds.update(_kind(layer) for layer in layers.values())
        unfolded = {key: why for key, why in kept.items() if set(layers[key].choice) == {"bn"}}
        return Variant(model, {kind: n for kind, n in kinds.items() if n}, unfolded)

    def _base(self, name: str) -> nn.Module:
        model = copy.deepcopy(self.original)
        if name == "BN":
            return _exchange(model, _on_batches)
        if name == "hard":
            return self._hardened(model)
        model = _exchange(model, partial(convert, to=name))
        release(model)
        return model

    def _hardened(self, model: nn.Module) -> nn.Module:
        if self.trained:
            harden(model)
        else:
            for k, (_, layer) in enumerate(switch_norm_layers(model)):
                statistic = layer.normalizers[k % len(layer.normalizers)]
                layer.settle(Choice(statistic, statistic))
        return model

    def _fold(self, base: str) -> Folded:
        if base not in self._folded:
            folded = fold(self._base(base).double(), self.example.double())
            self._folded[base] = folded._replace(model=folded.model.float())
        return self._folded[base]


def _exchange(model: nn.Module, new: Callable[[SwitchNorm], nn.Module]) -> nn.Module:
    """Put others in the place of the switchable norms of a model, and leave its batch norms."""
    layers = {layer: new(layer) for _, layer in switch_norm_layers(model)}
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, SwitchNorm) and child in layers:
                setattr(parent, name, layers[child])
    return model


def _on_batches(layer: SwitchNorm) -> SwitchNorm:
    """The layer with batch statistics alone; one that has none gets those of a new layer."""
    if "bn" not in layer.normalizers:
        kind, activation = type(layer), layer.activation
        layer = kind(layer.num_features, layer.eps, normalizers=("bn",), activation=activation)
    layer.settle(Choice("bn", "bn"))
    return layer.eval()


@torch.no_grad()
def _kind(layer: SwitchNorm) -> str:
    """What a layer does, such as ``'soft'``, ``'hard ln'`` or ``'hard bn/in'``."""
    mean, var = layer.choice
    if mean is None or var is None:
        return "soft"
    return f"hard {mean}" if mean == var else f"hard {mean}/{var}"
