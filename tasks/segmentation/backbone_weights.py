"""Initial weights, and pixels, that follow the norm: `norm_cfg.type` and `pretraining` choose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import FUNCTIONS

from normlib.checkpoint.pixel_format import pixels_of

# A norm without weights of its own starts from those of this one.
_RELATIVES = {"SyncBN": "BN", "SyncSN": "SN", "SSN": "SN", "SyncSSN": "SN"}


@FUNCTIONS.register_module(name="backbone_weights")
def backbone_weights(cfg: Config) -> None:
    """Give the backbone the ImageNet weights of its norm, and the pixels that they expect.

    Reads `cfg.backbone_weights`, which maps norms to checkpoints, or to several by the batch
    setting of their pretraining; `cfg.pretraining` then chooses, such as `'8x4'` for 8 GPUs with 4
    images each. SyncBN has the weights of BN; SyncSN, SSN and SyncSSN those of SN. A backbone with
    an `init_cfg` keeps it, and its pixels. Where `work_dir` is not set, norm and pretraining take
    part in its name.

    Args:
        cfg: changed in place.

    Raises:
        ValueError: there are no weights for the norm or the setting, or their pixels are not known.
    """
    norm = _backbone_norm(cfg)
    table = cfg.get("backbone_weights")
    if not table or norm is None:
        return
    entry = table.get(norm, table.get(_RELATIVES.get(norm, norm)))
    setting = cfg.get("pretraining") if isinstance(entry, dict) else None
    if cfg.get("work_dir") is None and cfg.filename:
        words = (Path(cfg.filename).stem, norm.lower(), setting)
        cfg.work_dir = f"work_dirs/{'_'.join(word for word in words if word)}"
    backbone = cfg.model.backbone
    if "init_cfg" in backbone or backbone.get("pretrained") or cfg.model.get("pretrained"):
        return
    if isinstance(entry, dict):
        if setting not in entry:
            raise ValueError(
                f"pretraining is {setting!r}; backbone_weights.{_RELATIVES.get(norm, norm)} has "
                f"{', '.join(map(repr, entry))}"
            )
        entry = entry[setting]
    if entry is None:
        raise ValueError(
            f"backbone_weights has nothing for {norm}, only for {', '.join(table)}; name a "
            f"checkpoint with backbone_weights.{norm}=PATH, or train from scratch with "
            "model.backbone.init_cfg=None"
        )
    backbone.init_cfg = ConfigDict(type="Pretrained", checkpoint=entry)
    pixels = pixels_of(entry)
    if pixels is not None:
        cfg.model.data_preprocessor.update(
            mean=list(pixels.mean),
            std=list(pixels.std),
            bgr_to_rgb=pixels.order == "RGB",
        )


def _backbone_norm(cfg: Config) -> str | None:
    norm: dict[str, Any] = cfg.get("norm_cfg") or {}
    norm = norm.get("backbone") or (norm if "type" in norm else {})
    norm = norm or cfg.model.backbone.get("norm_cfg") or {}
    return norm.get("type")
