"""The network that a config describes, outside a Runner, and its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from normlib.openmmlab.errors import CheckpointError, ConfigError
from normlib.openmmlab.pretrained import load_weights, state_dict_of


class WholeModel(nn.Module):
    """A model of mmengine as a function of images, which gives what its heads return.

    Args:
        model: Takes images and ``mode='tensor'``.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input: Tensor) -> Any:
        """What the heads return for images."""
        return self.model(input, mode="tensor")


def build_network(cfg: Config, checkpoint: str | None) -> nn.Module:
    """The model of a config in evaluation, in float32, on the CPU.

    Args:
        cfg: A config from :func:`normlib.openmmlab.launch.load_config`.
        checkpoint: A path, a URL or a model zoo name; None for a model that has learned nothing.

    Raises:
        ConfigError: The config has no model.
        CheckpointError: The file does not exist, or its weights do not fit.
    """
    remote = checkpoint is not None and "://" in checkpoint
    if checkpoint is not None and not remote and not Path(checkpoint).expanduser().is_file():
        raise CheckpointError(
            f"checkpoint {Path(checkpoint).expanduser().absolute()} does not exist"
        )
    if "model" not in cfg:
        raise ConfigError(f"config {cfg.filename} has no model")
    init_default_scope(cfg.get("default_scope") or "mmengine")
    description = cfg.model.copy()
    if cfg.get("data_preprocessor"):
        description.setdefault("data_preprocessor", cfg.data_preprocessor)
    model: nn.Module = MODELS.build(description)
    if checkpoint is not None:
        loaded = CheckpointLoader.load_checkpoint(checkpoint, "cpu")
        load_weights(
            model,
            state_dict_of(loaded, checkpoint, module=model),
            checkpoint,
            bn_to_sn=cfg.get("bn_to_sn"),
        )
    model.float().eval()
    return model


def part_of(network: nn.Module, name: str) -> nn.Module:
    """The part of a network with a dotted name, as ``--module`` gives it.

    Raises:
        ConfigError: There is no such part.
    """
    try:
        return network.get_submodule(name)
    except AttributeError as error:
        children = ", ".join(child for child, _ in network.named_children())
        raise ConfigError(
            f"--module {name}: {type(network).__name__} has no such part; it has {children}"
        ) from error
