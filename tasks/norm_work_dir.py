"""Runs with different norms of one config go to folders of their own."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.registry import FUNCTIONS

_CHOSEN = "work_dir_by_norm"


@FUNCTIONS.register_module(name="norm_work_dir")
def norm_work_dir(cfg: Config) -> None:
    """Where `work_dir` is not set, name it by the config, the norm and the batch setting.

    What was chosen is written down in the config, so that a saved one can be given another norm. In
    `config_rules` it stands before `batch_setting`, which takes its key out.

    Args:
        cfg: changed in place.
    """
    chosen = cfg.pop(_CHOSEN, None)
    if chosen is not None and cfg.get("work_dir") == chosen["work_dir"]:
        cfg.work_dir = None
    stem = Path(cfg.filename).stem if chosen is None and cfg.filename else (chosen or {}).get("of")
    if cfg.get("work_dir") is not None or not stem:
        return
    norm = cfg.get("norm_cfg") or {}
    norm = norm.get("type") or (norm.get("backbone") or {}).get("type")
    words = (stem, norm and str(norm).lower(), cfg.get("batch_setting"))
    cfg.work_dir = f"work_dirs/{'_'.join(str(word) for word in words if word)}"
    cfg[_CHOSEN] = dict(work_dir=cfg.work_dir, of=stem)
