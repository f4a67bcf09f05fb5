"""The batch settings of the papers as one key: `batch_setting = '8x4'`."""

from __future__ import annotations

import re
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import FUNCTIONS

_FORM = re.compile(r"([1-9]\d*)x([1-9]\d*)")


@FUNCTIONS.register_module(name="batch_setting")
def batch_setting(cfg: Config) -> None:
    """Set the images a GPU, and scale the learning rate linearly with the total batch.

    Reads `cfg.batch_setting`, such as `'8x4'` for 8 GPUs with 4 images each. The learning rate of
    the config is for `auto_scale_lr.base_batch_size` images, which becomes 32 with it, so that
    `--auto-scale-lr` serves another number of GPUs. With one image a GPU a switchable norm leaves
    out batch statistics, as in the papers. Where `work_dir` is not set, the setting takes part in
    its name.

    Args:
        cfg: changed in place; the key is taken out, so that a saved config is not scaled again.

    Raises:
        ValueError: the setting has another form.
    """
    setting = cfg.pop("batch_setting", None)
    if setting is None:
        return
    match = _FORM.fullmatch(str(setting))
    if match is None:
        raise ValueError(
            f"batch_setting is {setting!r}; write GPUs x images a GPU, such as '8x32' or '1x16'"
        )
    gpus, images = map(int, match.groups())
    total, base = gpus * images, cfg.auto_scale_lr.base_batch_size
    cfg.train_dataloader.batch_size = images
    cfg.optim_wrapper.optimizer.lr *= total / base
    cfg.auto_scale_lr.base_batch_size = total
    norm = cfg.get("norm_cfg") or {}
    for part in (norm, *(value for value in norm.values() if isinstance(value, dict))):
        if images == 1 and part.get("type") in ("SN", "SSN"):
            part.setdefault("normalizers", ("in", "ln"))
    if cfg.get("work_dir") is None and cfg.filename:
        cfg.work_dir = f"work_dirs/{Path(cfg.filename).stem}_{setting}"
