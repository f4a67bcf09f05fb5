"""From a map to class scores."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from .errors import ModelError


@MODELS.register_module()
class LinearClsHead(BaseModule):
    """Global average pooling, dropout and a linear layer `fc`.

    Args:
        num_classes: Number of classes.
        in_channels: Channels of the map.
        dropout: Probability of dropout before `fc`; the released SN models use 0.5.
        label_smoothing: Share of the target that is spread over all classes (arXiv 1512.00567).
        init_cfg: Initial weights.
    """

    #: There is nothing here that a model-wide `norm_cfg` could change.
    without_norms = True

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type="Normal", layer="Linear", std=0.01))
        if num_classes < 1:
            raise ModelError(f"model.head.num_classes is {num_classes}; it must be 1 or more")
        for name, value in (("dropout", dropout), ("label_smoothing", label_smoothing)):
            if not (isinstance(value, int | float) and 0 <= value < 1):
                raise ModelError(f"model.head.{name} is {value!r}; it must lie in [0, 1)")
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(in_channels, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits of shape (N, classes) of a map of shape (N, C, H, W) or (N, C, T, H, W)."""
        pool = F.adaptive_avg_pool3d if features.dim() == 5 else F.adaptive_avg_pool2d
        return self.fc(self.dropout(torch.flatten(pool(features, 1), 1)))

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross entropy with class indices of shape (N,) or probabilities of shape (N, classes)."""
        return F.cross_entropy(logits.float(), target, label_smoothing=self.label_smoothing)
