"""One top-level ``norm_cfg`` switches the normalisation of a whole model.

``norm_cfg = dict(type='SN')`` sets backbone, neck and heads. ``norm_cfg`` may instead, or besides,
hold ``backbone=``, ``neck=`` and ``head=``, each a norm of its own, or None for no norm; a part
that is not named, where no ``type`` covers it, keeps what the model config says.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmcv.cnn import build_norm_layer
from mmengine.config import Config
from mmengine.registry import MODELS
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from normlib import SwitchNorm
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.norm_notes import training_notes

PARTS = ("backbone", "neck", "head")
_DEFAULT_GROUPS = 32


@dataclass(frozen=True)
class NormChange:
    """What the switch did to one module of the model config.

    Attributes:
        part: ``'backbone'``, ``'neck'`` or ``'head'``.
        path: Dotted path of the module in the model, such as ``'roi_head.bbox_head'``.
        module: Type name of the module.
        before: Its ``norm_cfg`` as configured before, None for none.
        after: Its ``norm_cfg`` now; None for none.
        named: Whether the top-level ``norm_cfg`` names this part rather than covering the model.
        accepts: Whether the module can take a norm.
    """

    part: str
    path: str
    module: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    named: bool
    accepts: bool


def apply_norm_cfg(cfg: Config) -> list[NormChange]:
    """Carry the top-level ``norm_cfg`` of a config into its model, in place.

    Args:
        cfg: Config with a ``model``; without a top-level ``norm_cfg`` nothing is changed.

    A module whose class has a true attribute ``without_norms``, such as a linear classifier, has
    nothing to change: it is passed over unless its part is named.

    Returns:
        A record for every module looked at.

    Raises:
        ConfigError: An unknown norm or part, arguments that the norm does not take, a part that is
            missing or cannot take a norm, or a model without parts.
    """
    if cfg.get("norm_cfg") is None or cfg.get("model") is None:
        return []
    changes: list[NormChange] = []
    scope = cfg.model.get("_scope_", cfg.get("default_scope"))
    with MODELS.switch_scope_and_registry(scope) as registry:
        for part, (norm, named) in _wanted(cfg.norm_cfg).items():
            found = [
                _set_norm(registry, part, path, module, norm, named)
                for path, module in _modules(registry, cfg.model, part)
                if named or not _is_without_norms(registry, module)
            ]
            if named and not found:
                raise ConfigError(
                    f"norm_cfg.{part} is given, but the model ({cfg.model.get('type')}) has no "
                    f"{part}; take norm_cfg.{part} out"
                )
            if found and norm is not None and not any(change.accepts for change in found):
                modules = ", ".join(f"model.{c.path} ({c.module})" for c in found)
                rest = [p for p in PARTS if p != part and any(_modules(registry, cfg.model, p))]
                raise ConfigError(
                    f"norm_cfg asks for {_describe(norm)} in the {part}, but {modules} takes no "
                    "norm_cfg; name the other parts alone: norm_cfg = "
                    f"dict({', '.join(f'{p}=dict(...)' for p in rest)})"
                )
            changes += found
    if cfg.norm_cfg and not changes:
        raise ConfigError(
            f"norm_cfg is given, but the model ({cfg.model.get('type')}) has no backbone, neck or "
            f"head at its top level, only {sorted(cfg.model)}; take norm_cfg out and set it where "
            "these are"
        )
    return changes


def check_model(cfg: Config, model: nn.Module, changes: list[NormChange]) -> str:
    """Compare a built model with what the switch asked for.

    Args:
        cfg: The config after :func:`apply_norm_cfg`.
        model: The model built from it.
        changes: Result of :func:`apply_norm_cfg`.

    Returns:
        A table of the norm layers of each part, with notes on what training will do to them that
        the config does not say. Without changes, the notes alone.

    Raises:
        ConfigError: The backbone, or a part that ``norm_cfg`` names, has no layer of its norm.
    """
    notes = []
    table = Table("module", "type", "norm before", "norm now", box=SIMPLE, pad_edge=False)
    table.add_column("layers", justify="right")
    counts = [_count(model, change) for change in changes]
    for change, (count, others) in zip(changes, counts, strict=True):
        in_part = sum(n for c, (n, _) in zip(changes, counts, strict=True) if c.part == change.part)
        wanted = change.accepts and change.after and (change.named or change.part == "backbone")
        if wanted and in_part == 0:
            raise ConfigError(
                f"norm_cfg asks for {_describe(change.after)} in the {change.part}, but "
                f"model.{change.path} ({change.module}) has no layer of it, only "
                f"{others or 'unnormalised ones'}; choose a module that normalises its "
                "convolutions, such as Shared4Conv1FCBBoxHead for a box head, or leave the "
                f"{change.part} out of norm_cfg"
            )
        now = _describe(change.after) if change.accepts else "takes none"
        table.add_row(change.path, change.module, _describe(change.before), now, str(count))
        if others:
            notes.append(f"model.{change.path} also has {others}, which its norm_cfg does not set")
    lines = []
    if changes:
        console = Console(width=160, color_system=None)
        with console.capture() as capture:
            console.print(table)
        lines = [line.rstrip() for line in capture.get().splitlines() if line.strip()]
    if cfg.get("train_cfg") is not None:
        notes += training_notes(cfg, model)
    return "\n".join(lines + [f"note: {note}" for note in notes])


def _wanted(norm_cfg: dict[str, Any]) -> dict[str, tuple[dict[str, Any] | None, bool]]:
    """The norm of each part that is to be set, and whether the part was named."""
    if not isinstance(norm_cfg, dict):
        raise ConfigError(
            f"norm_cfg is {norm_cfg!r}; it must be a dict such as dict(type='SN'), from the "
            "command line norm_cfg.type=SN"
        )
    # mmengine leaves _scope_ in what a config inherits from another package.
    whole = {k: v for k, v in norm_cfg.items() if k not in (*PARTS, "_scope_")}
    strangers = [key for key, value in whole.items() if isinstance(value, dict)]
    if strangers:
        raise ConfigError(
            f"norm_cfg has the part {strangers[0]!r}; the parts are {', '.join(PARTS)}"
        )
    if whole and "type" not in whole:
        raise ConfigError(
            f"norm_cfg has the keys {sorted(whole)}; it takes a type with its arguments, such as "
            f"dict(type='SN'), or the parts {', '.join(PARTS)}"
        )
    wanted: dict[str, tuple[dict[str, Any] | None, bool]] = {}
    for part in PARTS:
        if part in norm_cfg:
            norm = norm_cfg[part]
            wanted[part] = (None if norm is None else _checked(norm, f"norm_cfg.{part}"), True)
        elif whole:
            wanted[part] = (_checked(whole, "norm_cfg"), False)
    if wanted.get("backbone", ({}, False))[0] is None:
        raise ConfigError(
            "norm_cfg.backbone is None; a backbone needs a norm, such as dict(type='SN')"
        )
    return wanted


def _checked(norm: Any, where: str) -> dict[str, Any]:
    """A norm with its defaults filled in, once it has been shown to build."""
    if not isinstance(norm, dict) or "type" not in norm:
        raise ConfigError(
            f"{where} is {norm!r}; it must be a dict with a type, such as dict(type='SN')"
        )
    norm = dict(norm)
    if norm["type"] == "GN":
        norm.setdefault("num_groups", _DEFAULT_GROUPS)
    try:
        build_norm_layer(norm, 8 * norm.get("num_groups", 1))
    except Exception as error:
        layer = _layer_class(norm["type"])
        if layer is None or not issubclass(layer, _norm_classes()):
            raise ConfigError(
                f"{where}.type is {norm['type']!r}, which is no norm; norms are {_norm_names()}"
            ) from error
        raise ConfigError(
            f"{where} = {norm} does not build: {error}. To replace all of the config's on the "
            f"command line, add {where}._delete_=True"
        ) from error
    return norm


def _layer_class(name: Any) -> type | None:
    with MODELS.switch_scope_and_registry(None) as registry:
        layer = registry.get(name) if isinstance(name, str) else name
    return layer if inspect.isclass(layer) else None


def _norm_classes() -> tuple[type[nn.Module], ...]:
    return (
        SwitchNorm,
        _BatchNorm,
        nn.GroupNorm,
        nn.LayerNorm,
        nn.modules.instancenorm._InstanceNorm,
    )


def _norm_names() -> str:
    known = {
        name
        for name, layer in MODELS.module_dict.items()
        if inspect.isclass(layer) and issubclass(layer, _norm_classes())
    }
    return ", ".join(sorted(known))


def _modules(
    registry: Any, model: dict[str, Any], part: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and config of every module of a part; heads may hold heads."""
    if part != "head":
        yield from _entries(model.get(part), part)
        return
    for key, value in model.items():
        if key == "head" or key.endswith("_head"):
            for path, module in _entries(value, key):
                inner = [(f"{path}.{p}", m) for p, m in _modules(registry, module, "head")]
                if not inner or _norm_argument(registry, module):
                    yield path, module
                yield from inner


def _entries(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        yield path, value
    elif isinstance(value, (list, tuple)):
        for k, item in enumerate(value):
            yield from _entries(item, f"{path}.{k}")


def _set_norm(
    registry: Any,
    part: str,
    path: str,
    module: dict[str, Any],
    norm: dict[str, Any] | None,
    named: bool,
) -> NormChange:
    argument = _norm_argument(registry, module)
    before = module.get("norm_cfg", argument.default if argument else None)
    before = dict(before) if isinstance(before, dict) else None
    if argument:
        module["norm_cfg"] = None if norm is None else dict(norm)
    return NormChange(
        part, path, str(module.get("type", "-")), before, norm, named, accepts=argument is not None
    )


def _is_without_norms(registry: Any, module: dict[str, Any]) -> bool:
    name = module.get("type")
    cls = registry.get(name) if isinstance(name, str) else name
    return getattr(cls, "without_norms", False)


def _norm_argument(registry: Any, module: dict[str, Any]) -> inspect.Parameter | None:
    """The argument ``norm_cfg`` of a module, found also where it is handed on as a keyword."""
    if "type" not in module:  # The module around it knows the class.
        argument = inspect.Parameter("norm_cfg", inspect.Parameter.KEYWORD_ONLY, default=None)
        return argument if "norm_cfg" in module else None
    name = module["type"]
    cls = registry.get(name) if isinstance(name, str) else name
    if cls is None:
        raise ConfigError(f"model has a module of type {name!r}, which is not registered")
    for base in inspect.getmro(cls):
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters
        if "norm_cfg" in parameters:
            return parameters["norm_cfg"]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return None
    return None


def _count(model: nn.Module, change: NormChange) -> tuple[int, str]:
    """How many layers a module has of its norm, and which others, such as ``'2 LayerNorm'``."""
    try:
        module = model.get_submodule(change.path)
    except AttributeError:
        return 0, ""
    layer = _layer_class(change.after["type"]) if change.accepts and change.after else None
    wanted: type | tuple[type, ...] = layer or ()
    if layer is not None and issubclass(layer, _BatchNorm):
        wanted = _BatchNorm  # SyncBN is BN in one process; sync_bn='torch' turns BN into SyncBN.
    count = sum(isinstance(m, wanted) for m in module.modules())
    others = Counter(
        type(m).__name__
        for m in module.modules()
        if isinstance(m, _norm_classes()) and not isinstance(m, wanted)
    )
    return count, ", ".join(f"{number} {name}" for name, number in others.items())


def _describe(norm: dict[str, Any] | None) -> str:
    if norm is None:
        return "-"
    name = norm["type"] if isinstance(norm["type"], str) else norm["type"].__name__
    arguments = ", ".join(f"{k}={v}" for k, v in norm.items() if k != "type")
    return f"{name}({arguments})" if arguments else name
