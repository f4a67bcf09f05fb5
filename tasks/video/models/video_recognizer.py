"""A classifier of videos whose backbone is a registry name."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor

from .errors import ModelError

Outputs = Tensor | dict[str, Tensor] | list[dict[str, Tensor]]


@MODELS.register_module()
class VideoRecognizer(BaseModel):
    """Backbone, average over space and time, and a linear layer; in tests the mean of views.

    Args:
        backbone: Config of the backbone, any that returns one map of shape (N, C, T, H, W) or a
            sequence of them; the last is classified.
        head: Config of the head, such as ``dict(type='LinearClsHead', num_classes=400)``.
        max_testing_views: How many views (clips x crops) go through the backbone at once in tests;
            None for all those of a batch. The scores do not depend on it.
        data_preprocessor: Config of the normalisation of pixels, a ``ClipDataPreprocessor``.
        init_cfg: Initial weights of the whole.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        head: dict[str, Any],
        max_testing_views: int | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if max_testing_views is not None and max_testing_views < 1:
            raise ModelError(
                f"model.max_testing_views is {max_testing_views}; it must be 1 or more, or None"
            )
        self.backbone = MODELS.build(backbone)
        self.head = MODELS.build(head)
        self.max_testing_views = max_testing_views

    def forward(
        self, inputs: Tensor, data_samples: Tensor | None = None, mode: str = "tensor"
    ) -> Outputs:
        """Logits, losses or predictions.

        Args:
            inputs: Views as the data preprocessor gives them, uint8 of shape
                (N, views, T, H, W, 3); with ``'tensor'`` also normalised clips, of shape
                (N, 3, T, H, W).
            data_samples: Classes of the videos, int64 of shape (N,).
            mode: ``'loss'`` for a dict of losses; ``'predict'`` for a dict a video, with its
                ``scores`` of shape (classes,), the softmax averaged over its views, and its
                ``label``; ``'tensor'`` for logits of shape (clips, classes).
        """
        if inputs.dim() != 6 and (mode != "tensor" or inputs.dim() != 5):
            raise ModelError(
                f"VideoRecognizer: inputs of shape {tuple(inputs.shape)}; it takes views of shape "
                "(N, views, T, H, W, 3) or, for logits, normalised clips of shape (N, 3, T, H, W)"
            )
        if mode == "loss":
            assert data_samples is not None
            return self.loss(inputs, data_samples)
        if mode == "tensor":
            return self.logits(inputs if inputs.dim() == 5 else self._clips(inputs.flatten(0, 1)))
        if mode != "predict":
            raise ValueError(f"mode is {mode!r}; it must be 'tensor', 'loss' or 'predict'")
        scores = self.scores(inputs)
        if data_samples is None:
            return [{"scores": score} for score in scores]
        pairs = zip(scores, data_samples, strict=True)
        return [{"scores": score, "label": label} for score, label in pairs]

    def logits(self, clips: Tensor) -> Tensor:
        """Logits of shape (N, classes) of normalised clips of shape (N, 3, T, H, W)."""
        maps = self.backbone(clips)
        return self.head(maps[-1] if isinstance(maps, tuple | list) else maps)

    def loss(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The loss of all views, and the share of right answers among them."""
        labels = labels.repeat_interleave(inputs.shape[1])
        logits = self.logits(self._clips(inputs.flatten(0, 1)))
        with torch.no_grad():
            top1 = 100 * (logits.argmax(1) == labels).float().mean()
        return {"loss": self.head.loss(logits, labels), "top1": top1}

    def scores(self, inputs: Tensor) -> Tensor:
        """Softmax averaged over the views of each video, of shape (N, classes)."""
        views = inputs.flatten(0, 1)
        parts = views.split(self.max_testing_views or len(views))
        scores = torch.cat([self.logits(self._clips(part)).float().softmax(1) for part in parts])
        return scores.view(*inputs.shape[:2], -1).mean(1)

    def _clips(self, views: Tensor) -> Tensor:
        return self.data_preprocessor.normalize(views)
