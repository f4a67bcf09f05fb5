"""Whether the key of an option says anything to a config."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

# Keys of the top level that a config may lack: those that mmengine's Runner looks up beside its
# arguments, and those of this project.
_LOOKED_UP = (
    *("activation_checkpointing", "compile", "efficient_conv_bn_eval", "find_unused_parameters"),
    *("model_wrapper_cfg", "sync_bn"),
    *("allow_missing_weights", "allow_other_pixels", "bn_to_sn", "config_rules"),
    *("fuse_norm_activation", "generated_data", "norm_cfg", "runner_type"),
    *("tta_model", "tta_pipeline"),
)
# Those that a rule reads beside the one of its own name.
_OF_RULES = {"backbone_weights": ("pretraining",)}
# Dicts whose keys are names of parts or norms, which may well resemble each other.
_OF_ANY_NAMES = ("custom_keys", "backbone_weights")
_CLOSE = 0.8
_SUGGESTED = 3


def why_unknown(key: str, config: Mapping[str, Any], options: Collection[str]) -> str | None:
    """Why an option would say nothing, or could not be set.

    Of the top level those keys are known that the config has, or that mmengine's Runner, this
    project or one of the config's rules reads. What components do not know they refuse when they
    are built. Dicts that are not built, such as `env_cfg`, take anything: a dict that an option
    would begin there, beside one of nearly the same name, is taken for a slip, unless it is given
    a `type`.

    Args:
        key: Of the option, dotted.
        config: The config as it is read from its file.
        options: Keys of all options that are given with it.

    Returns:
        What is wrong, with names that may be meant; None where nothing is.
    """
    top = key.partition(".")[0]
    if top not in config:
        known = known_keys(config)
        if top in known:
            return None
        return f"{key}: nothing reads {top!r}{_meant(top, {*known, *config})}"
    return _why_lost(key, config, options)


def known_keys(config: Mapping[str, Any]) -> set[str]:
    """Keys of the top level that are read where a config, or an option, has them."""
    rules = config.get("config_rules") or ()
    own = [key for rule in rules for key in (rule, *_OF_RULES.get(rule, ()))]
    return {*_runner_arguments(), *_LOOKED_UP, *own}


@cache
def _runner_arguments() -> frozenset[str]:
    from mmengine.runner import Runner

    return frozenset(inspect.signature(Runner.__init__).parameters) - {"self", "cfg"}


def _why_lost(key: str, config: Mapping[str, Any], options: Collection[str]) -> str | None:
    """The same for a key whose top level the config has."""
    node: Any = config
    path, parts = "", key.split(".")
    for depth, name in enumerate(parts, start=1):
        below = f"{path}.{name}" if path else name
        if isinstance(node, list):
            if not (name.isdigit() and int(name) < len(node)):
                return f"{key}: {path} is a list of {len(node)}, which has no {name!r}"
            node = node[int(name)]
        elif not isinstance(node, dict):
            return f"{key}: {path} is {node!r}, which holds no keys"
        elif f"{below}._delete_" in options:
            return None
        elif name in node:
            node = node[name]
        else:
            begins = depth < len(parts) and f"{below}.type" not in options
            named = path.rpartition(".")[-1] in _OF_ANY_NAMES
            meant = _meant(name, node, _CLOSE) if begins and not named else ""
            return f"{key}: {path} has no {name!r}{meant}" if meant else None
        path = below
    return None


def _meant(name: str, known: Collection[str], cutoff: float = 0.6) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=_SUGGESTED, cutoff=cutoff)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
