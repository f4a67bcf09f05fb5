"""Initial weights, and pixels, that follow the norm: `norm_cfg.type` and `pretraining` choose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import FUNCTIONS, MODELS

from normlib.checkpoint.known_pixels import pixels_of
from normlib.checkpoint.pixel_format import RGB_STD

# A norm without weights of its own starts from those of this one.
_RELATIVES = {"SyncBN": "BN", "SyncSN": "SN", "SSN": "SN", "SyncSSN": "SN"}
_PIXEL_KEYS = ("mean", "std", "bgr_to_rgb", "rgb_to_bgr")
_TO = {"RGB": "bgr_to_rgb", "BGR": "rgb_to_bgr"}
_CHOSEN = "chosen_by_norm"


@FUNCTIONS.register_module(name="backbone_weights")
def backbone_weights(cfg: Config) -> None:
    """Give the backbone the ImageNet weights of its norm, and the pixels that they expect.

    Reads `cfg.backbone_weights`, which maps norms to checkpoints, or to several by the batch
    setting of their pretraining; `cfg.pretraining` then chooses, such as `'8x4'` for 8 GPUs with 4
    images each, else it is the first. SyncBN has the weights of BN; SyncSN, SSN and SyncSSN those
    of SN. A backbone with an `init_cfg` keeps it.

    A data preprocessor without any of `mean`, `std`, `bgr_to_rgb` and `rgb_to_bgr` gets those of
    the checkpoint, or ImageNet's usual ones where they are not known; the images are loaded blue
    first, unless its class has another `loaded_order`. Where `work_dir` is not set, norm,
    pretraining and `batch_setting` take part in its name: in `config_rules` this rule stands before
    `batch_setting`, which takes its key out.

    What was chosen is written down in the config, so that a saved one can be given another norm.

    Args:
        cfg: changed in place.

    Raises:
        ValueError: there are no weights for the norm or the setting, or `pretraining` has nothing
            to choose from.
    """
    model = cfg.get("model") or {}
    backbone = model.get("backbone")
    norm = _backbone_norm(cfg, backbone or {})
    if backbone is None or norm is None or MODELS.get(norm) is None:
        return
    _forget(cfg)
    chosen = ConfigDict()
    if "init_cfg" in backbone or backbone.get("pretrained") or model.get("pretrained"):
        own = (backbone.get("init_cfg") or {}).get("checkpoint")
        if own:  # --cfg-options model.backbone.init_cfg.checkpoint=PATH
            backbone.init_cfg.setdefault("type", "Pretrained")
        setting = "scratch" if cfg.get("backbone_weights") and not own else None
        checkpoint = own or backbone.get("pretrained") or model.get("pretrained")
        if cfg.get("pretraining") is not None:
            raise ValueError(
                f"pretraining is {cfg.pretraining!r}, but the model has initial weights of its "
                f"own, {checkpoint}; give one of the two"
            )
    elif cfg.get("backbone_weights"):
        checkpoint, setting = _choose(cfg, norm)
        backbone.init_cfg = ConfigDict(type="Pretrained", checkpoint=checkpoint)
        chosen.checkpoint = checkpoint
    else:
        checkpoint = setting = None

    preprocessor = model.get("data_preprocessor")
    if preprocessor is not None and not any(key in preprocessor for key in _PIXEL_KEYS):
        pixels = (checkpoint and pixels_of(checkpoint)) or RGB_STD
        # The argument that turns the order which pixels are loaded in.
        loaded = getattr(MODELS.get(preprocessor.type), "loaded_order", "BGR")
        turn = {_TO[loaded[::-1]]: pixels.order != loaded}
        chosen.pixels = ConfigDict(mean=list(pixels.mean), std=list(pixels.std), **turn)
        preprocessor.update(chosen.pixels)
    if cfg.get("work_dir") is None and cfg.filename:
        words = (Path(cfg.filename).stem, norm.lower(), setting, cfg.get("batch_setting"))
        chosen.work_dir = f"work_dirs/{'_'.join(word for word in words if word)}"
        cfg.work_dir = chosen.work_dir
    cfg[_CHOSEN] = chosen


def _forget(cfg: Config) -> None:
    """Take out what this rule has put into a config that was saved."""
    chosen = cfg.pop(_CHOSEN, None) or {}
    model = cfg.model
    init_cfg = model.backbone.get("init_cfg") or {}
    if "checkpoint" in chosen and init_cfg.get("checkpoint") == chosen["checkpoint"]:
        del model.backbone["init_cfg"]
    preprocessor = model.get("data_preprocessor") or {}
    if "pixels" in chosen and chosen["pixels"].items() <= preprocessor.items():
        for key in chosen["pixels"]:
            del preprocessor[key]
    if "work_dir" in chosen and cfg.get("work_dir") == chosen["work_dir"]:
        cfg.work_dir = None


def _choose(cfg: Config, norm: str) -> tuple[str, str | None]:
    """The checkpoint for a norm, and the setting of its pretraining if there are several."""
    table, setting = cfg.backbone_weights, cfg.get("pretraining")
    relative = norm if norm in table else _RELATIVES.get(norm, norm)
    entry = table.get(relative)
    if entry is None:
        covered = [*table, *(name for name, by in _RELATIVES.items() if by in table)]
        raise ValueError(
            f"backbone_weights has nothing for {norm}, only for {', '.join(covered)}; name a "
            f"checkpoint with backbone_weights.{norm}=PATH, or train from scratch with "
            "model.backbone.init_cfg=None"
        )
    if not isinstance(entry, dict):
        if setting is not None:
            raise ValueError(f"pretraining is {setting!r}, but {norm} has one checkpoint: {entry}")
        return entry, None
    setting = next(iter(entry)) if setting is None else setting
    if setting not in entry:
        raise ValueError(
            f"pretraining is {setting!r}; backbone_weights.{relative} has "
            f"{', '.join(map(repr, entry))}"
        )
    return entry[setting], setting


def _backbone_norm(cfg: Config, backbone: dict[str, Any]) -> str | None:
    norm: dict[str, Any] = cfg.get("norm_cfg") or {}
    norm = norm.get("backbone") or (norm if "type" in norm else {})
    norm = norm or backbone.get("norm_cfg") or {}
    return norm.get("type")
