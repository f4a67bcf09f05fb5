"""A face model: backbone, embedding and classifier."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor

Outputs = Tensor | dict[str, Tensor] | list[dict[str, Tensor]]


@MODELS.register_module()
class FaceRecognizer(BaseModel):
    """Trains embeddings of faces by classifying identities, and gives them in evaluation.

    Args:
        backbone: Config of the backbone, which returns one map.
        neck: Config of what makes an embedding of it.
        head: Config of the classifier, such as `dict(type='PartialFC', num_classes=85742)`; None
            to embed alone.
        flip: Whether evaluation adds the embedding of the mirrored image.
        data_preprocessor: Config of the normalisation of pixels.
        init_cfg: Initial weights of the whole.
    """

    #: What an evaluation does without.
    for_training_alone = ("head",)

    def __init__(
        self,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        head: dict[str, Any] | None,
        flip: bool = True,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.head = None if head is None else MODELS.build(head)
        self.flip = flip
        # As the images come; gradients of other strides would be copied by DDP.
        self.to(memory_format=torch.channels_last)

    def forward(
        self, inputs: Tensor, data_samples: Tensor | None = None, mode: str = "tensor"
    ) -> Outputs:
        """Embed faces, or learn to.

        Args:
            inputs: Normalised images of shape (N, 3, H, W).
            data_samples: In training class indices of shape (N,), else the images' numbers.
            mode: `'tensor'` for the normalised embeddings of shape (N, D); `'loss'` for a dict of
                losses; `'predict'` for a dict of `embedding` (D,) and, where given, `index` an
                image. With `flip` this is the normalised sum of the normalised embeddings of the
                image and of its mirror image.
        """
        if mode == "loss":
            assert data_samples is not None and self.head is not None
            return self.head.loss(self.neck(self.backbone(inputs)), data_samples)
        embeddings = self._embed(inputs)
        if mode == "tensor":
            return embeddings
        if mode != "predict":
            raise ValueError(f"mode is {mode!r}; it must be 'tensor', 'loss' or 'predict'")
        if self.flip:
            embeddings = F.normalize(embeddings + self._embed(inputs.flip(-1)))
        if data_samples is None:
            return [{"embedding": embedding} for embedding in embeddings]
        pairs = zip(embeddings, data_samples, strict=True)
        return [{"embedding": embedding, "index": index} for embedding, index in pairs]

    def _embed(self, inputs: Tensor) -> Tensor:
        return F.normalize(self.neck(self.backbone(inputs)).float())
