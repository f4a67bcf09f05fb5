"""Exchanging the norms of a live model: batch norm and switchable norms, both ways."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrize

from normlib import layers
from normlib.checkpoint.batch_norm import check_ratios, start_ratios
from normlib.layers import SparseSwitchNorm, SwitchNorm, SyncSwitchNorm

_SWITCHABLE = {
    "SN": "SwitchNorm",
    "SyncSN": "SyncSwitchNorm",
    "SSN": "SparseSwitchNorm",
    "SyncSSN": "SyncSparseSwitchNorm",
}
_DIMENSIONS = {SwitchNorm._dims: "", (2, 3): "1d", (4,): "2d", (5,): "3d"}
_BATCH_NORMS = {"1d": nn.BatchNorm1d, "2d": nn.BatchNorm2d, "3d": nn.BatchNorm3d}


def convert(
    model: nn.Module,
    to: str = "SN",
    ratios: str | float = "uniform",
    *,
    approximate: bool = False,
    **kwargs: Any,
) -> nn.Module:
    """Exchange the norms of a model, in place, and keep what they have learned.

    Gamma, beta and running statistics stay the tensors that they are, so that an optimizer made
    before still trains gamma and beta; eps, momentum, device, dtype, mode and ``requires_grad``
    stay too. Names stay, and a layer used in several places remains one. The control parameters of
    switchable norms are new: make the optimizer afterwards, or add them to it.

    - To ``'SN'``, ``'SyncSN'``, ``'SSN'`` or ``'SyncSSN'``: every ``nn.BatchNorm*d`` and
      ``nn.SyncBatchNorm`` starts from ``ratios``. With ``'bn'`` the model evaluates as before;
      running variances go on with the biased variance, where PyTorch's is the unbiased one. A layer
      without running statistics (``track_running_stats=False``) gets those of a new layer.
      Switchable norms of another kind keep their ratios, and ``ratios`` is not for them.
    - To ``'BN'`` or ``'SyncBN'``: every switchable norm, ``SwitchNorm2d`` becoming ``BatchNorm2d``
      and so on, and the classes for any number of dimensions ``BatchNorm2d``. The model evaluates
      as before where they have settled on batch statistics.

    Args:
        model: Any module.
        to: What the norms become.
        ratios: ``'uniform'``, ``'bn'`` or the ratio of batch statistics, a number in (0, 1); see
            :func:`normlib.checkpoint.batch_norm.start_ratios`.
        approximate: Exchange also layers whose ratios have not settled on batch statistics for
            batch norms, which use these alone.
        **kwargs: Arguments of the new layers in place of those that the old ones have, such as
            ``unbiased``, ``process_group`` or ``eps``.

    Returns:
        The model; if the model is itself a norm, the new layer.

    Raises:
        ValueError: ``to`` or ``ratios`` is not known, or layers cannot be exchanged: their names
            are listed, and the model stays as it was. Layers with forward or backward hooks or
            parametrizations, and subclasses with a forward of their own, cannot.
    """
    if to not in (*_SWITCHABLE, "BN", "SyncBN"):
        known = ", ".join(map(repr, (*_SWITCHABLE, "BN", "SyncBN")))
        raise ValueError(f"convert: to is {to!r}; it must be one of {known}")
    check_ratios(ratios)
    found: dict[str, nn.Module]
    found = {name: m for name, m in model.named_modules() if _wanted(m, to, bool(kwargs))}
    _refuse((name, _obstacle(m, to, approximate, kwargs)) for name, m in found.items())
    replacements = {m: _replacement(m, to, ratios, kwargs) for m in found.values()}
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if child in replacements:
                setattr(parent, name, replacements[child])
    return replacements.get(model, model)


def _wanted(module: nn.Module, to: str, changed: bool) -> bool:
    if to not in _SWITCHABLE:
        return isinstance(module, SwitchNorm)
    if isinstance(module, SwitchNorm):
        return changed or type(module) is not _switchable_class(module, to)
    return isinstance(module, _BatchNorm)


def _switchable_class(module: nn.Module, to: str) -> type[SwitchNorm]:
    if isinstance(module, SwitchNorm):
        suffix = _DIMENSIONS.get(module._dims, "")
    else:
        suffix = next((s for s, cls in _BATCH_NORMS.items() if isinstance(module, cls)), "")
    cls: type[SwitchNorm] = getattr(layers, _SWITCHABLE[to] + suffix)
    return cls


def _obstacle(module: nn.Module, to: str, approximate: bool, kwargs: dict[str, Any]) -> str | None:
    """Why a layer cannot be exchanged, None if it can."""
    if isinstance(module, LazyModuleMixin):
        return "does not know its channels yet; run the model once"
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    if any(hooks):
        return "has hooks; remove them, and register them again on the new layer"
    if parametrize.is_parametrized(module):
        return "has parametrizations; remove them"
    if not isinstance(module, SwitchNorm):
        own = type(module).forward not in (_BatchNorm.forward, nn.SyncBatchNorm.forward)
        return f"is a {type(module).__name__} with a forward of its own" if own else None
    if to in _SWITCHABLE:
        if tuple(kwargs.get("normalizers", module.normalizers)) != module.normalizers:
            return f"mixes {module.normalizers}; to keep its ratios, normalizers cannot change"
        if "radius" in kwargs:
            return "keeps its ratios, which a radius would change; leave it out"
        return None
    if module.running_mean is None:
        return "has no batch statistics"
    if module.activation is not None:
        return f"does a {module.activation} too, which batch norm does not"
    if module.dropout:
        return f"does dropout ({module.dropout}) too, which batch norm does not"
    if module.normalizers != ("bn",) and module.choice != ("bn", "bn") and not approximate:
        mean, var = (
            ", ".join(f"{name} {r:.2g}" for name, r in zip(module.normalizers, v, strict=True))
            for v in (ratios.tolist() for ratios in module.ratios())
        )
        return (
            f"has not settled on batch statistics (means {mean}; variances {var}); "
            "approximate=True ignores the others"
        )
    return None


def _refuse(obstacles: Iterable[tuple[str, str | None]]) -> None:
    problems = [f"{name or 'the model'} {why}" for name, why in obstacles if why]
    if problems:
        more = f"; and {len(problems) - 8} more layers" if len(problems) > 8 else ""
        raise ValueError(
            f"convert: {len(problems)} layers cannot be exchanged: {'; '.join(problems[:8])}{more}"
        )


def _replacement(
    module: nn.Module, to: str, ratios: str | float, kwargs: dict[str, Any]
) -> nn.Module:
    assert isinstance(module, (SwitchNorm, _BatchNorm))
    arguments: dict[str, Any]
    arguments = {name: getattr(module, name) for name in ("eps", "momentum", "affine")}
    tensors = [*module.parameters(), *module.buffers()]
    like = next((t for t in tensors if t.is_floating_point()), None)
    if like is not None:
        arguments |= dict(device=like.device, dtype=like.dtype)
    synchronised = isinstance(module, (SyncSwitchNorm, nn.SyncBatchNorm))
    if synchronised and to.startswith("Sync"):
        arguments["process_group"] = module.process_group

    layer: SwitchNorm | _BatchNorm
    if to in _SWITCHABLE:
        if isinstance(module, SwitchNorm):
            own = ("normalizers", "unbiased", "activation", "dropout")
            arguments |= {name: getattr(module, name) for name in own}
        layer = _switchable_class(module, to)(module.num_features, **(arguments | kwargs))
        if isinstance(module, SwitchNorm):
            _keep_ratios(layer, module)
        else:
            start_ratios(layer, ratios)
            learns = module.weight is None or module.weight.requires_grad
            for logits in (layer.mean_weight, layer.var_weight):
                logits.requires_grad_(learns)
    else:
        assert isinstance(module, SwitchNorm)
        suffix = _DIMENSIONS.get(module._dims) or "2d"
        cls = nn.SyncBatchNorm if to == "SyncBN" else _BATCH_NORMS[suffix]
        layer = cls(module.num_features, **(arguments | kwargs))
    _keep_tensors(layer, module)
    layer.train(module.training)
    return layer


def _keep_tensors(layer: SwitchNorm | _BatchNorm, module: SwitchNorm | _BatchNorm) -> None:
    for name in ("weight", "bias"):
        if layer._parameters[name] is not None and module._parameters[name] is not None:
            layer._parameters[name] = module._parameters[name]
    for name in ("running_mean", "running_var"):
        if layer._buffers[name] is not None and module._buffers[name] is not None:
            layer._buffers[name] = module._buffers[name]
    if layer.num_batches_tracked is not None and module.num_batches_tracked is not None:
        layer.num_batches_tracked.copy_(module.num_batches_tracked)


@torch.no_grad()
def _keep_ratios(layer: SwitchNorm, module: SwitchNorm) -> None:
    """Give a layer the ratios of another, by its own function of control parameters."""
    if isinstance(layer, SparseSwitchNorm) == isinstance(module, SparseSwitchNorm):
        layer.mean_weight, layer.var_weight = module.mean_weight, module.var_weight
        if isinstance(layer, SparseSwitchNorm) and isinstance(module, SparseSwitchNorm):
            layer.radius.copy_(module.radius)
    else:
        names = ("mean_weight", "var_weight")
        for name, ratios in zip(names, module.ratios(), strict=True):
            logits = layer.get_parameter(name)
            # A ratio of 0 has no finite logarithm.
            logits.copy_(layer._logits_of(ratios.clamp(min=_smallest(ratios))))
            logits.requires_grad_(module.get_parameter(name).requires_grad)
    layer.settle(module.choice)


def _smallest(ratios: Tensor) -> float:
    return torch.finfo(ratios.dtype).tiny
