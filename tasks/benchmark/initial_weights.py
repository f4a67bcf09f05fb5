"""Files of weights that trainings start from: which, and whether they are there and serve."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from normlib.checkpoint.released_files import FILES

from .configs import leaves
from .plan import ROOT
from .record import State, state_of
from .run import Run

OTHER_RUN = re.compile(r"work_dirs/([^/]+)/")

# Norms without weights of their own start from those of others, as in the papers.
WEIGHTS_OF = {
    "SyncBN": ("SyncBN", "BN"),
    "SyncSN": ("SyncSN", "SN"),
    "SSN": ("SSN", "SN"),
    "SyncSSN": ("SyncSSN", "SSN", "SN"),
}
_NORM_KEYS = ("norm_cfg.backbone.type", "norm_cfg.type", "model.backbone.norm_cfg.type")
_BY_NORM = "backbone_weights"
_INIT = "model.backbone.init_cfg"
_PRETRAINED = ("model.backbone.pretrained", "model.pretrained")
_NAMES_A_FILE = re.compile(r"(^|\.)init_cfg(\.\d+)?\.checkpoint$|^load_from$")
_TAKE_OTHERS = ("bn_to_sn", "allow_missing_weights")
_FOLDERS = ("checkpoints/", "work_dirs/")


def initial_weights(config: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, str]:
    """Local files that a training starts from, by the key that names them.

    Those are checkpoints of `init_cfg`, `load_from`, whatever lies in `checkpoints/` or
    `work_dirs/`, and what `backbone_weights` has for the norm. What is downloaded is no local file.

    Args:
        config: The config as it is read from its file.
        options: Dotted keys and values that take the place of the config's.
    """
    values = _merged(config, options)
    found = {
        key: value
        for key, value in values.items()
        if not key.startswith(f"{_BY_NORM}.")
        and key.rpartition(".")[-1] != "work_dir"
        and (key in _PRETRAINED or _NAMES_A_FILE.search(key) or value.startswith(_FOLDERS))
    }
    backbone = (config.get("model") or {}).get("backbone") or {}
    own = "init_cfg" in backbone or any(f"{key}.".startswith(f"{_INIT}.") for key in options)
    if not own and not any(key in found for key in _PRETRAINED):
        found |= _by_norm(values)
    return {key: value for key, value in found.items() if value != "None" and "://" not in value}


def missing_weights(runs: Sequence[Run], configs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is said of files that are not there and that no run makes, a line each.

    Runs that are done need none. What rows take of other rows' runs is left out.

    Args:
        runs: Those of a plan.
        configs: Their configs, by path.
    """
    waiting: dict[Path, dict[Run, list[str]]] = {}
    for run in runs:
        if state_of(run) is State.DONE:
            continue
        files = initial_weights(configs[run.config], run.options)
        for key, file in files.items():
            path = ROOT / Path(file).expanduser()
            known = any(path.is_relative_to(need.work_dir) for need in run.needs) or (
                run.row is not None and OTHER_RUN.match(file)
            )
            if not known and not path.is_file():
                waiting.setdefault(path, {}).setdefault(run, []).append(key)
    return [_missing(path, by) for path, by in waiting.items()]


def unfit_weights(runs: Sequence[Run], configs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is said of models whose norm is not that which their config has its weights for.

    That is for files that the config itself names; those that options name are left to them. With
    `bn_to_sn` weights of BN serve SN, and with `allow_missing_weights` any may do.

    Args:
        runs: Those of a plan; rows are as their metafile says.
        configs: Their configs, by path.
    """
    unfit: dict[tuple[str, str, str, str, str], list[Run]] = {}
    for run in runs:
        config = configs[run.config]
        own, now = _norm(_merged(config, {})), _norm(_merged(config, run.options))
        said = {key: run.options.get(key, config.get(key)) for key in _TAKE_OTHERS}
        fit = said["allow_missing_weights"] or (
            said["bn_to_sn"] and (_family(own), _family(now)) == ("BN", "SN")
        )
        if run.row is None and own and _family(own) != _family(now) and not fit:
            for key, file in _kept(config, run.options).items():
                if _NAMES_A_FILE.search(key):
                    unfit.setdefault((run.config, file, own, now, key), []).append(run)
    return [
        f"{by[0].task}: {by[0].title}{f' and {len(by) - 1} more' if len(by) > 1 else ''} would "
        f"start from {file}, which {config} has for {own}; give pretrained, or others in "
        f"norm_options: {{{now}: {{{key}: PATH}}}}"
        for (config, file, own, now, key), by in unfit.items()
    ]


def _norm(values: Mapping[str, str]) -> str:
    """The norm of the backbone."""
    return next((values[key] for key in _NORM_KEYS if key in values), "")


def _family(norm: str) -> str:
    """The norm whose weights serve a norm too."""
    return WEIGHTS_OF.get(norm, (norm,))[-1]


def _missing(path: Path, by: Mapping[Run, Sequence[str]]) -> str:
    run, keys = next(iter(by.items()))
    others = f" and {len(by) - 1} more" if len(by) > 1 else ""
    name = next((file.name for file in FILES.values() if ROOT / file.path == path), None)
    fetch = f"python tools/download_checkpoint.py {name} fetches it; " if name else ""
    return (
        f"{run.task}: {run.title}{others} start{'' if others else 's'} from {path}, which is not "
        f"there; {fetch}others can be named by {' and '.join(keys)} in options"
    )


def _by_norm(values: Mapping[str, str]) -> dict[str, str]:
    """What the rule `tasks.backbone_weights` chooses, by its key."""
    norm = _norm(values)
    for name in WEIGHTS_OF.get(norm, (norm,)):
        place = f"{_BY_NORM}.{name}"
        found = {k: v for k, v in values.items() if k == place or k.startswith(f"{place}.")}
        if found:
            chosen = f"{place}.{values.get('pretraining')}"
            key = chosen if chosen in found else next(iter(found))
            return {key: found[key]}
    return {}


def _merged(config: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, str]:
    """Dotted keys and values of all texts of a config that is run with options."""
    given = {key: value for key, value in options.items() if isinstance(value, str)}
    return _kept(config, options) | given


def _kept(config: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, str]:
    """Of a config's texts, those that options leave as they are."""
    return {
        key: value
        for key, value in leaves(config)
        if not any(end in options or f"{end}._delete_" in options for end in _ends(key))
    }


def _ends(key: str) -> list[str]:
    """A key and those above it: `a`, `a.b` and `a.b.c`."""
    parts = key.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
