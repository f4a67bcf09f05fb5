"""Checkpoints that the authors of SN and SSN released, under this project's keys and shapes.

The files hold affine parameters of shape (1, C, 1, 1) or (1, C, 1, 1, 1), statistics of shape
(1, C, 1), and names of several code bases; ``released_rules.py`` has a table for each.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from normlib.checkpoint.released_rules import FORMATS, PLAIN, Format, Rule, norm_kind
from normlib.layers.switch_norm import HARD_GAP

_MODULE = "module."
_PER_CHANNEL = ("weight", "bias", "running_mean", "running_var")
_FLAGS = {"mean_weight": "mean_fixed", "var_weight": "var_fixed"}
_CONTROL = tuple(_FLAGS)


class ReleasedFileError(ValueError):
    """A released checkpoint cannot be fetched, or cannot be converted."""


@dataclass(frozen=True)
class Entry:
    """What became of one key.

    Attributes:
        key: The key in the file.
        target: The key it has become; None if it is not used.
        about: What it is, or why it is not used.
        changes: What was done to its value.
    """

    key: str
    target: str | None
    about: str
    changes: tuple[str, ...] = ()


@dataclass
class Conversion:
    """A converted checkpoint.

    Attributes:
        format: What the file is.
        state: The weights, with the keys of a whole model (``backbone.conv1.weight``).
        entries: What became of each key of the file.
    """

    format: Format
    state: OrderedDict[str, Tensor]
    entries: list[Entry] = field(default_factory=list)

    @property
    def unused(self) -> list[Entry]:
        """The keys of the file that have no counterpart."""
        return [entry for entry in self.entries if entry.target is None]

    def norm_cfg(self) -> dict[str, object] | None:
        """The ``norm_cfg`` that evaluates the file as published; None if it has no such layer."""
        counts = {v.numel() for k, v in self.state.items() if k.endswith(".mean_weight")}
        if not counts:
            return None
        two = {"normalizers": ("in", "ln")} if counts == {2} else {}
        return {"type": self.format.norm_type, **dict(self.format.settings), **two}


def recognise(state: Mapping[str, object], plain: bool = False) -> Format | None:
    """The released format that a state dict has; None for any other.

    Weights of this project are none of them, whatever their names: their shapes are flat.

    Args:
        state: A state dict, with or without a leading ``module.``.
        plain: Take a ResNet with BN or GN for a released one as well. There are some, and nothing
            tells them from torchvision's.
    """
    keys = [key.removeprefix(_MODULE) for key in state]
    for candidate in (*FORMATS, PLAIN) if plain else FORMATS:
        if all(any(re.match(mark, key) for key in keys) for mark in candidate.marks) and (
            not candidate.wide or _has_wide_norms(state)
        ):
            return candidate
    return None


def convert(
    state: Mapping[str, object], source: str = "the checkpoint", plain: bool = False
) -> Conversion:
    """Give the weights of a released checkpoint the keys and shapes of this project.

    Layers whose choice the file marks as settled become settled layers
    (:meth:`normlib.SwitchNorm.settle`).

    Args:
        state: A state dict in one of the released formats, with or without ``module.``.
        source: Name of the file, for errors.
        plain: See :func:`recognise`.

    Returns:
        The weights and what became of each key. Tensors share memory with ``state``.

    Raises:
        ReleasedFileError: The format is not known, or values contradict it.
    """
    found = recognise(state, plain)
    if found is None:
        titles = "; ".join(known.title for known in FORMATS)
        raise ReleasedFileError(
            f"{source} is in none of the released formats ({titles}), so there is nothing to "
            f"convert; its keys are {_some(list(map(str, state)))}"
        )
    named = {key.removeprefix(_MODULE): key for key in state}
    values = {name: state[key] for name, key in named.items()}
    result = Conversion(found, OrderedDict())
    for name, value in values.items():
        entry = _place(found, values, name, value)
        entry = replace(entry, key=named[name])
        if entry.target is not None and isinstance(value, Tensor):
            if entry.target in result.state:
                raise ReleasedFileError(
                    f"{source}: {named[name]} and another key both become {entry.target}"
                )
            converted, changes = _value(found, values, name, value, source)
            result.state[entry.target] = converted
            if entry.target != entry.key:
                changes = ("renamed", *changes)
            entry = replace(entry, changes=changes or ("taken",))
        result.entries.append(entry)
    if not result.state:
        raise ReleasedFileError(f"{source}: none of its keys has a place: {_some(list(state))}")
    return result


def for_module(state: Mapping[str, Tensor], keys: Sequence[str]) -> OrderedDict[str, Tensor]:
    """Converted weights for a backbone alone, where that is what is to be loaded.

    Args:
        state: :attr:`Conversion.state`.
        keys: Keys of the module that is to receive them.

    Returns:
        ``state``, its ``backbone.`` cut off unless the module has one.
    """
    start = "backbone."
    if any(key.startswith(start) for key in keys):
        return OrderedDict(state)
    return OrderedDict((key.removeprefix(start), value) for key, value in state.items())


def hardened(state: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    """The weights with every ratio one-hot at its largest entry, as :func:`normlib.harden` does."""
    return OrderedDict(
        (key, _settled(value) if key.rpartition(".")[2] in _CONTROL else value)
        for key, value in state.items()
    )


def _has_wide_norms(state: Mapping[str, object]) -> bool:
    return any(
        isinstance(value := state.get(key.removesuffix("mean_weight") + "weight"), Tensor)
        and value.dim() > 1
        for key in state
        if key.endswith(".mean_weight")
    )


def _place(found: Format, values: Mapping[str, object], name: str, value: object) -> Entry:
    if not isinstance(value, Tensor):
        return Entry(name, None, "not a tensor")
    module, _, parameter = name.rpartition(".")
    if parameter in _FLAGS.values():
        return Entry(name, None, "marks of settled choices, now in the control parameters")
    for rule in found.rules:
        if match := rule.match(name, values):
            return Entry(name, _target(rule, match, values, module), rule.about)
    return Entry(name, None, "no counterpart")


def _target(
    rule: Rule, match: re.Match[str], values: Mapping[str, object], module: str
) -> str | None:
    if rule.target is None:
        return None
    start = match.expand(rule.target) if isinstance(rule.target, str) else rule.target(match)
    return start.replace("{norm}", norm_kind(values, module)) + match.string[match.end() :]


def _value(
    found: Format, values: Mapping[str, object], name: str, value: Tensor, source: str
) -> tuple[Tensor, tuple[str, ...]]:
    module, _, parameter = name.rpartition(".")
    changes: tuple[str, ...] = ()
    if f"{module}.mean_weight" in values:
        flat = value
        if parameter in _PER_CHANNEL:
            flat = _flat(value, name, source)
        elif parameter == "radius" and value.numel() == 1:
            flat = value.reshape(())
        if flat.shape != value.shape:
            changes = ("reshaped",)
        value = flat
        if parameter in _CONTROL and _is_set(values.get(f"{module}.{_FLAGS[parameter]}")):
            if sorted(value.tolist()) != [0.0] * (value.numel() - 1) + [1.0]:
                raise ReleasedFileError(
                    f"{source}: {name} is marked as settled by {module}.{_FLAGS[parameter]}, and "
                    f"holds {value.tolist()}, not a single 1 among zeros"
                )
            value, changes = _settled(value), (*changes, "settled")
    rule = next(rule for rule in found.rules if rule.match(name, values))
    if rule.change is not None:
        value, changes = rule.change(value), (*changes, "reordered")
    return value, changes


def _flat(value: Tensor, name: str, source: str) -> Tensor:
    if value.dim() == 1:
        return value
    if value.dim() < 2 or value.numel() != value.shape[1]:
        raise ReleasedFileError(
            f"{source}: {name} has shape {tuple(value.shape)}; a norm holds one number a channel, "
            "e.g. (1, 64, 1, 1)"
        )
    return value.reshape(-1)


def _is_set(flag: object) -> bool:
    return isinstance(flag, Tensor) and bool(flag.any())


def _settled(logits: Tensor) -> Tensor:
    settled = torch.full_like(logits, -HARD_GAP)
    settled[logits.argmax()] = 0
    return settled


def _some(names: Sequence[str], most: int = 8) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
