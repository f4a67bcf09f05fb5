"""What training will do to the norm layers of a model that its config does not say."""

from __future__ import annotations

from collections.abc import Iterator

from mmengine.config import Config
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from normlib import switch_norm_layers
from normlib.openmmlab.pretrained import pretrained_configs

# Heads with a norm of its own, or none, after global pooling.
_POOL_NORM_HEADS = {"PSPHead": "PoolNormPSPHead", "ASPPHead": "PoolNormASPPHead"}


def training_notes(cfg: Config, model: nn.Module) -> list[str]:
    """Notes on ``norm_eval``, ``frozen_stages``, ``requires_grad`` and maps of one pixel.

    Args:
        cfg: The config of the training.
        model: The model built from it, before its first ``train()``.
    """
    notes: list[str] = []
    for path, module in model.named_modules():
        notes += _norm_eval_notes(f"model.{path}", module)
        notes += _frozen_stages_notes(cfg, f"model.{path}", module, model)
        notes += _one_pixel_notes(path, module, model)
    return notes + list(_switch_norm_notes(model))


def _norm_eval_notes(where: str, module: nn.Module) -> Iterator[str]:
    norm_eval = getattr(module, "norm_eval", None)
    if norm_eval and any(switch_norm_layers(module)):
        yield (
            f"{where}.norm_eval=True reaches batch norm alone; switchable norms keep normalising "
            "with the statistics of the batch in training"
        )
    if norm_eval is False and any(
        isinstance(m, _BatchNorm) and m.training and m.affine and not m.weight.requires_grad
        for m in module.modules()
    ):
        yield (
            f"{where}: BN with requires_grad=False freezes gamma and beta alone; set "
            f"{where}.norm_eval=True to freeze its running statistics too"
        )


def _frozen_stages_notes(
    cfg: Config, where: str, module: nn.Module, model: nn.Module
) -> Iterator[str]:
    frozen_stages = getattr(module, "frozen_stages", None)
    if not isinstance(frozen_stages, int) or frozen_stages < 0:
        return
    if any(switch_norm_layers(module)):
        yield (
            f"{where}.frozen_stages={frozen_stages}: in the frozen stages switchable norms run in "
            "evaluation mode, with fixed ratios and the running batch statistics of the loaded "
            "weights"
        )
    init_cfgs = [getattr(m, "init_cfg", None) for m in (model, module)]
    if not (cfg.get("load_from") or cfg.get("resume") or any(pretrained_configs(init_cfgs, ""))):
        yield (
            f"{where}.frozen_stages={frozen_stages} but no weights are loaded: those stages stay "
            f"as they were initialised; set {where}.frozen_stages=-1 to train from scratch"
        )


def _one_pixel_notes(path: str, module: nn.Module, model: nn.Module) -> Iterator[str]:
    if not isinstance(module, nn.Sequential):
        return
    steps = list(module)
    pooled = [k for k, step in enumerate(steps) if _pools_to_one_pixel(step)]
    after = nn.ModuleList(steps[pooled[0] + 1 :]) if pooled else nn.ModuleList()
    if any("in" in layer.normalizers for _, layer in switch_norm_layers(after)):
        yield (
            f"model.{path} normalises maps of 1x1, whose instance statistics are degenerate (the "
            f"variance of one pixel is 0); {_pool_norm_remedy(path, model)}"
        )


def _pools_to_one_pixel(module: nn.Module) -> bool:
    return isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1))


def _pool_norm_remedy(path: str, model: nn.Module) -> str:
    parts = path.split(".")
    for depth in range(len(parts) - 1, 0, -1):
        where = ".".join(parts[:depth])
        kind = type(model.get_submodule(where)).__name__
        if kind in _POOL_NORM_HEADS:
            return (
                f"model.{where}.type='{_POOL_NORM_HEADS[kind]}' takes no norm there, or the one "
                "that its pool_norm_cfg names"
            )
        if kind in _POOL_NORM_HEADS.values():
            return f"model.{where}.pool_norm_cfg='auto' takes no norm there"
    return "give that place no norm, or another one"


def _switch_norm_notes(model: nn.Module) -> Iterator[str]:
    layers = [layer for _, layer in switch_norm_layers(model)]
    fixed = sum(layer.training and not layer.mean_weight.requires_grad for layer in layers)
    if fixed:
        yield (
            f"requires_grad=False: gamma, beta and ratios of {fixed} switchable norms stay as they "
            "are loaded; they keep normalising with the statistics of the batch"
        )
