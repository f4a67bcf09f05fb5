"""From the last map of a backbone to an embedding."""

from __future__ import annotations

import math
from typing import Any

import torch
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from normlib import SwitchNorm
from tasks.face.errors import ModelError


@MODELS.register_module()
class EmbeddingNeck(BaseModule):
    """Norm, dropout, a linear layer on the whole map, and a norm of the embedding.

    The embedding is a vector without positions. Of a switchable norm it therefore gets the layer
    and batch statistics alone, and two control parameters.

    Args:
        in_channels: Channels of the map.
        map_size: Its side in pixels, or height and width: 7 for images of 112 pixels.
        out_channels: Length of the embedding.
        dropout: Probability of dropout before the linear layer.
        norm_cfg: Config of the norm of the map; None for none.
        embedding_norm_cfg: Config of the norm of the embedding; None for that of the map. The
            authors of SN have `dict(type='BN1d')` whatever the other norms are.
        init_cfg: Initial weights; by default uniform with variance 1 / inputs.

    Raises:
        ModelError: An argument is out of range, or the norm needs positions.
    """

    def __init__(
        self,
        in_channels: int = 512,
        map_size: int | tuple[int, int] = 7,
        out_channels: int = 512,
        dropout: float = 0.4,
        norm_cfg: dict[str, Any] | None = None,
        embedding_norm_cfg: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        height, width = (map_size, map_size) if isinstance(map_size, int) else map_size
        inputs = in_channels * height * width
        bound = math.sqrt(3 / inputs)
        super().__init__(init_cfg or dict(type="Uniform", layer="Linear", a=-bound, b=bound))
        if not (isinstance(dropout, int | float) and 0 <= dropout < 1):
            raise ModelError(f"model.neck.dropout is {dropout!r}; it must lie in [0, 1)")
        self.map_shape = (in_channels, height, width)
        self.norm_name = None
        if norm_cfg is not None:
            self.norm_name, norm = build_norm_layer(norm_cfg, in_channels)
            self.add_module(self.norm_name, norm)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, out_channels)
        self.embedding_norm = _vector_norm(embedding_norm_cfg or norm_cfg, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings of shape (N, out_channels) of a map of shape (N, in_channels, H, W).

        Raises:
            ModelError: The map has another shape.
        """
        if tuple(x.shape[1:]) != self.map_shape:
            channels, height, width = self.map_shape
            raise ModelError(
                f"model.neck got a map of {x.shape[1]} channels and {x.shape[2]} x {x.shape[3]} "
                f"pixels; it was made for {channels} channels and {height} x {width}, which "
                f"IRResNet gives for images of {16 * height} x {16 * width} "
                "(model.neck.in_channels, model.neck.map_size)"
            )
        if self.norm_name is not None:
            x = getattr(self, self.norm_name)(x)
        return self.embedding_norm(self.fc(torch.flatten(self.dropout(x), 1)))


def _vector_norm(cfg: dict[str, Any] | None, channels: int) -> nn.Module:
    """A norm of vectors, of the kind that a config of a norm of maps asks for."""
    if cfg is None:
        return nn.Identity()
    cfg = dict(cfg)
    if cfg["type"] in ("BN", "BN2d"):
        cfg["type"] = "BN1d"
    norm = build_norm_layer(cfg, channels)[1]
    if isinstance(norm, nn.modules.instancenorm._InstanceNorm):
        raise ModelError(
            "an embedding has no positions, and so no instance statistics: give "
            "model.neck.embedding_norm_cfg = dict(type='BN1d')"
        )
    if isinstance(norm, SwitchNorm):
        kept = tuple(name for name in norm.normalizers if name != "in")
        if not kept:
            raise ModelError(
                f"an embedding has no instance statistics, and normalizers={norm.normalizers} "
                "leaves no others: give model.neck.embedding_norm_cfg = dict(type='BN1d')"
            )
        norm = build_norm_layer({**cfg, "normalizers": kept}, channels)[1]
    return norm
