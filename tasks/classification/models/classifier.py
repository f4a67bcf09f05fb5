"""An image classifier whose backbone is a registry name."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor
from torchvision.transforms.v2 import MixUp

from .errors import ModelError

Outputs = Tensor | dict[str, Tensor] | list[dict[str, Tensor]]


@MODELS.register_module()
class ImageClassifier(BaseModel):
    """Backbone, global average pooling and a linear layer.

    The weights of the backbone stand under `backbone.`, so that a detector or a segmentor takes
    them with `init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.')`.

    Args:
        backbone: Config of the backbone, any that returns one map or a sequence of maps; the last
            is classified.
        head: Config of the head, such as `dict(type='LinearClsHead', num_classes=1000)`.
        mixup: Parameter of the Beta distribution of mixup (arXiv 1710.09412) in training; 0 for
            none.
        data_preprocessor: Config of the normalisation of pixels.
        init_cfg: Initial weights of the whole.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        head: dict[str, Any],
        mixup: float = 0.0,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if not (isinstance(mixup, int | float) and mixup >= 0):
            raise ModelError(f"model.mixup is {mixup!r}; it must be 0 (none) or more, such as 0.2")
        self.backbone = MODELS.build(backbone)
        self.head = MODELS.build(head)
        self.mixup = MixUp(alpha=mixup, num_classes=self.head.num_classes) if mixup else None

    def forward(
        self, inputs: Tensor, data_samples: Tensor | None = None, mode: str = "tensor"
    ) -> Outputs:
        """Classify images.

        Args:
            inputs: Normalised images of shape (N, 3, H, W).
            data_samples: Class indices of shape (N,).
            mode: `'tensor'` for the logits of shape (N, classes), `'loss'` for a dict of losses,
                `'predict'` for a dict of `scores` (classes,) and, where given, `label` an image.
        """
        if mode == "loss":
            assert data_samples is not None
            return self.loss(inputs, data_samples)
        logits = self.logits(inputs)
        if mode == "tensor":
            return logits
        if mode != "predict":
            raise ValueError(f"mode is {mode!r}; it must be 'tensor', 'loss' or 'predict'")
        scores = logits.float().softmax(1)
        if data_samples is None:
            return [{"scores": score} for score in scores]
        pairs = zip(scores, data_samples, strict=True)
        return [{"scores": score, "label": label} for score, label in pairs]

    def logits(self, inputs: Tensor) -> Tensor:
        """Logits of shape (N, classes)."""
        maps = self.backbone(inputs)
        return self.head(maps[-1] if isinstance(maps, tuple | list) else maps)

    def loss(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The loss, and the share of right answers in the batch where mixup does not blur them."""
        if self.mixup is not None and self.mixup.training:
            inputs, labels = self.mixup(inputs, labels)
        logits = self.logits(inputs)
        losses = {"loss": self.head.loss(logits, labels)}
        if labels.dim() == 1:
            with torch.no_grad():
                losses["top1"] = 100 * (logits.argmax(1) == labels).float().mean()
        return losses
